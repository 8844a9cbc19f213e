// The terminal on the page: xterm.js, and how it looks.

import { FitAddon } from './addon-fit.mjs'
import { Terminal } from './xterm.mjs'

const THEME = {
  background: '#10151c',
  foreground: '#d7dee8',
  cursor: '#7cc4ff',
  cursorAccent: '#10151c',
  selectionBackground: '#33506e',
  black: '#2a313c',
  red: '#ff7b72',
  green: '#7ee787',
  yellow: '#e3b341',
  blue: '#79b8ff',
  magenta: '#d2a8ff',
  cyan: '#76e3ea',
  white: '#d7dee8',
  brightBlack: '#7a8696',
  brightRed: '#ffa198',
  brightGreen: '#a5f0ab',
  brightYellow: '#f2cc60',
  brightBlue: '#a5d1ff',
  brightMagenta: '#e2c5ff',
  brightCyan: '#b3f0ff',
  brightWhite: '#ffffff',
}

const text = new TextEncoder()

/** Puts a terminal into an element. `typed(bytes)` and `resized(cols, rows)` hear of what is done to it. */
export class Screen {
  #terminal
  #fit = new FitAddon()
  #observer

  constructor(element, typed, resized) {
    this.#terminal = new Terminal({
      cursorBlink: true,
      fontFamily: 'ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
      fontSize: 14,
      scrollback: 10_000,
      theme: THEME,
    })
    this.#terminal.loadAddon(this.#fit)
    this.#terminal.onData((data) => typed(text.encode(data)))
    this.#terminal.onBinary((data) => typed(Uint8Array.from(data, (letter) => letter.charCodeAt(0))))
    this.#terminal.onResize(({ cols, rows }) => resized(cols, rows))
    this.#terminal.open(element)
    this.#fit.fit()
    resized(this.#terminal.cols, this.#terminal.rows)
    this.#observer = new ResizeObserver(() => requestAnimationFrame(() => this.#fit.fit()))
    this.#observer.observe(element)
    this.#terminal.focus()
  }

  /** Shows what the node sent, then calls `done`. */
  show(bytes, done) {
    this.#terminal.write(bytes, done)
  }

  /** Shows words of the page's own, on a line of their own. They may come from the node: as letters only. */
  note(words) {
    const plain = words.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
    this.#terminal.write(`\r\n\x1b[2m[${plain}]\x1b[0m\r\n`)
  }

  focus() {
    this.#terminal.focus()
  }

  /** Nothing more can be typed. */
  freeze() {
    this.#terminal.options.disableStdin = true
    this.#terminal.options.cursorBlink = false
  }

  dispose() {
    this.#observer.disconnect()
    this.#terminal.dispose()
  }
}
