// An operator's end of a session: a websocket, which may break and come again, and the numbered streams on
// it. It knows no page and no terminal.

import { Kind, Type, acknowledgement, decode, encode, json, newId } from './frames.js'
import { Incoming, Outgoing } from './stream.js'

export const State = {
  CONNECTING: 'connecting',
  CONNECTED: 'connected',
  RECONNECTING: 'reconnecting',
  GONE: 'gone',
  ENDED: 'ended',
}

/** The version of session-manager-plugin whose ways these are. */
export const CLIENT_VERSION = '1.2.650.0'

const SHELLS = ['Standard_Stream', 'InteractiveCommands', 'NonInteractiveCommands']

// Bytes of one message, as the plugin has them, and of all that waits to be sent.
const CHUNK = 1024
const MOST_QUEUED = 1024 * 1024

// What a socket may hold back before nothing is sent again on it, bytes.
const MOST_BUFFERED = 256 * 1024

// Milliseconds: between two looks; without an acknowledgement until the node counts as gone, and until
// another connection is tried; until a connection has to be there; and between two tries, at most.
const TICK = 100
const GONE_AFTER = 4000
const DEAD_AFTER = 30_000
const DIAL_PATIENCE = 15_000
const MOST_PAUSE = 10_000

const OPEN = 1
const text = new TextEncoder()

/**
 * `world` is what it needs:
 * - `dial()` makes a WebSocket to the session;
 * - `resume()` promises another token, or throws an error that is `final` when there will be none;
 * - `show(bytes, done)` shows output and then calls `done`; `note(text)` shows words of our own;
 * - `state(state, text)` hears how it stands; `text` is why it has ended;
 * - `keep(kept)` keeps what another page needs to go on with; null when there is nothing to go on with.
 */
export class Channel {
  #world
  #client
  #out
  #in
  #ready
  #resumed
  #socket = null
  #state = ''
  #size = null
  #queue = []
  #queued = 0
  #tries = 0
  #paused = false
  #pause = null
  #dialing = null
  #ticker = null

  constructor(world, kept = null) {
    this.#world = world
    this.#client = kept?.client ?? newId()
    this.#out = new Outgoing(kept?.next, kept?.waiting)
    this.#in = new Incoming(kept?.expected)
    this.#ready = kept?.ready ?? false
    this.#resumed = kept !== null
  }

  /** Begins, with the token of a session that was just started. */
  start(token) {
    this.#say(State.CONNECTING)
    this.#keep()
    this.#dial(token)
  }

  /** Goes on where another page was. */
  resume() {
    this.#say(State.RECONNECTING)
    this.#again()
  }

  /** Sends what was typed. */
  type(bytes) {
    if (this.#state === State.ENDED) return
    if (this.#queued + bytes.length > MOST_QUEUED) {
      this.#world.note('This was too much to type at once, and was not sent.')
      return
    }
    this.#queued += bytes.length
    for (let at = 0; at < bytes.length; at += CHUNK) {
      this.#queue.push({ type: Type.OUTPUT, payload: bytes.slice(at, at + CHUNK) })
    }
    this.#pump()
  }

  /** The window has this size now. */
  resize(cols, rows) {
    this.#size = { cols, rows }
    this.#queue = this.#queue.filter((each) => each.type !== Type.SIZE)
    this.#queue.push({ type: Type.SIZE, payload: sizePayload(this.#size) })
    this.#pump()
  }

  /** The network is back: tries at once. */
  hurry() {
    if (this.#pause === null) return
    clearTimeout(this.#pause)
    this.#pause = null
    this.#again()
  }

  /** Hangs up; what is said is why. The session goes on without this page. */
  leave(why) {
    this.#end(why, true)
  }

  // --- the connection ---------------------------------------------------------------------------------

  #dial(token) {
    const socket = this.#world.dial()
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    const mine = (act) => (event) => {
      if (this.#socket === socket) act(event)
    }
    socket.onopen = mine(() => this.#opened(token))
    socket.onclose = socket.onerror = mine(() => this.#lost())
    socket.onmessage = mine(({ data }) => {
      const message = decode(typeof data === 'string' ? text.encode(data) : new Uint8Array(data))
      if (message) this.#take(message)
    })
    this.#dialing = setTimeout(() => this.#lost(), DIAL_PATIENCE)
  }

  #opened(token) {
    clearTimeout(this.#dialing)
    const opening = {
      MessageSchemaVersion: '1.0',
      RequestId: newId(),
      TokenValue: token,
      ClientId: this.#client,
      ClientVersion: CLIENT_VERSION,
    }
    this.#socket.send(JSON.stringify(opening))
    for (const bytes of this.#out.again(now())) this.#socket.send(bytes)
    this.#ticker = setInterval(() => this.#tick(), TICK)
    if (this.#ready) {
      if (this.#size) {
        const { cols, rows } = this.#size
        this.#queue = this.#queue.filter((each) => each.type !== Type.SIZE)
        // A page that was loaded again shows nothing; a window that changes makes programs draw.
        if (this.#resumed) this.#send(Type.SIZE, sizePayload({ cols, rows: rows > 1 ? rows - 1 : 2 }))
        this.#send(Type.SIZE, sizePayload(this.#size))
      }
      this.#resumed = false
      this.#say(State.CONNECTED)
    }
    this.#pump()
  }

  #lost() {
    this.#hangUp()
    if (this.#state === State.ENDED) return
    this.#say(State.RECONNECTING)
    const most = Math.min(MOST_PAUSE, 250 * 2 ** this.#tries++)
    this.#pause = setTimeout(() => {
      this.#pause = null
      this.#again()
    }, most * (0.5 + Math.random() / 2))
  }

  async #again() {
    let token
    try {
      token = await this.#world.resume()
    } catch (error) {
      if (error.final) this.#end(error.message)
      else this.#lost()
      return
    }
    if (this.#state === State.ENDED) return
    if (token) this.#dial(token)
    else this.#end('The session has timed out.')
  }

  #hangUp() {
    clearTimeout(this.#dialing)
    clearInterval(this.#ticker)
    const socket = this.#socket
    this.#socket = null
    socket?.close()
  }

  #end(why, goesOn = false) {
    if (this.#state === State.ENDED) return
    clearTimeout(this.#pause)
    this.#pause = null
    if (!goesOn) this.#world.keep(null)
    this.#say(State.ENDED, why)
    this.#hangUp()
  }

  // --- what goes out ----------------------------------------------------------------------------------

  #pump() {
    if (!this.#ready || this.#socket?.readyState !== OPEN) return
    while (this.#queue.length > 0 && !this.#out.isFull) {
      const { type, payload } = this.#queue.shift()
      if (type === Type.OUTPUT) this.#queued -= payload.length
      this.#send(type, payload)
    }
  }

  #send(type, payload) {
    const bytes = encode({ kind: Kind.INPUT, payload, type, sequence: this.#out.next })
    this.#out.push(bytes, now())
    // Before it goes: whoever loads the page now must know that this number is taken.
    this.#keep()
    this.#transmit(bytes)
  }

  #transmit(bytes) {
    if (this.#socket?.readyState === OPEN) this.#socket.send(bytes)
  }

  #tick() {
    const age = this.#out.age(now())
    if (age > DEAD_AFTER) {
      this.#lost()
      return
    }
    if (this.#state === State.CONNECTED && age > GONE_AFTER) this.#say(State.GONE)
    if (this.#socket.bufferedAmount > MOST_BUFFERED) return
    const bytes = this.#out.due(now())
    if (bytes) this.#transmit(bytes)
  }

  // --- what comes in ----------------------------------------------------------------------------------

  #take(message) {
    this.#tries = 0
    switch (message.kind) {
      case Kind.OUTPUT:
        this.#takeData(message)
        break
      case Kind.ACKNOWLEDGE: {
        const number = json(message.payload)?.AcknowledgedMessageSequenceNumber
        this.#out.acknowledged(number, now())
        this.#keep()
        this.#isThere()
        this.#pump()
        break
      }
      case Kind.CLOSED:
        this.#end(json(message.payload)?.Output || 'The session has ended.')
        break
      case Kind.PAUSE:
        this.#paused = true
        if (this.#state === State.CONNECTED) this.#say(State.GONE)
        break
      case Kind.START:
        this.#paused = false
        this.#isThere()
        break
    }
  }

  #takeData(message) {
    this.#paused = false
    const { ready, old } = this.#in.take(message.sequence, message)
    if (old) this.#transmit(acknowledgement(message))
    if (ready.length > 0) this.#keep()
    for (const each of ready) this.#use(each)
    if (this.#ready) this.#isThere()
  }

  // What was shown is acknowledged, and nothing before: a flood waits at the node.
  #use(message) {
    const done = () => this.#transmit(acknowledgement(message))
    switch (message.type) {
      case Type.HANDSHAKE_REQUEST:
        done()
        this.#shakeHands(json(message.payload))
        break
      case Type.HANDSHAKE_COMPLETE: {
        done()
        const greeting = json(message.payload)?.CustomerMessage
        if (greeting) this.#world.note(greeting)
        this.#begin()
        break
      }
      case Type.OUTPUT:
      case Type.STDERR:
      case Type.EXIT_CODE:
        this.#world.show(message.payload, done)
        this.#begin()
        break
      default:
        done()
    }
  }

  #shakeHands(request) {
    const answers = (request?.RequestedClientActions ?? []).map((action) => {
      const type = action.ActionParameters?.SessionType
      const can = action.ActionType === 'SessionType' && SHELLS.includes(type)
      return {
        ActionType: action.ActionType,
        ActionStatus: can ? 1 : 3,
        ActionResult: null,
        Error: can ? '' : `A browser has no way to do this: ${action.ActionType} ${type ?? ''}`.trim(),
      }
    })
    const response = { ClientVersion: CLIENT_VERSION, ProcessedClientActions: answers, Errors: null }
    this.#send(Type.HANDSHAKE_RESPONSE, text.encode(JSON.stringify(response)))
  }

  // The node is ready: from now on it takes what is typed.
  #begin() {
    if (this.#ready) return
    this.#ready = true
    this.#resumed = false
    this.#say(State.CONNECTED)
    this.#keep()
    this.#pump()
  }

  #isThere() {
    const late = this.#out.age(now()) > GONE_AFTER
    if (this.#state === State.GONE && !this.#paused && !late) this.#say(State.CONNECTED)
  }

  // --- telling ----------------------------------------------------------------------------------------

  #say(state, why = '') {
    if (this.#state === state) return
    this.#state = state
    this.#world.state(state, why)
  }

  #keep() {
    if (this.#state === State.ENDED) return
    this.#world.keep({
      client: this.#client,
      next: this.#out.next,
      waiting: this.#out.waiting,
      expected: this.#in.expected,
      ready: this.#ready,
    })
  }
}

const now = () => performance.now()

function sizePayload({ cols, rows }) {
  return text.encode(JSON.stringify({ cols, rows }))
}
