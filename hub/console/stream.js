// The numbered streams of a data channel: messages in order, and again until they are acknowledged. Pure:
// the time comes from outside, in milliseconds.

const FIRST_ROUND_TRIP = 100
const FIRST_PATIENCE = 200
const MOST_PATIENCE = 1000
const LEAST_VARIATION = 10

/** Messages on their way without an acknowledgement. What is more waits before it gets a number. */
const WINDOW = 64

/** Messages kept that came before their turn. More than any agent sends ahead; the rest comes again. */
const EARLY = 1000

/** What goes out. */
export class Outgoing {
  #roundTrip = FIRST_ROUND_TRIP
  #variation = 0
  #patience = FIRST_PATIENCE
  #waiting = new Map()

  /** `next` is the next number, `waiting` what isn't acknowledged: pairs of number and bytes. */
  constructor(next = 0, waiting = []) {
    this.next = next
    for (const [number, bytes] of waiting) this.#waiting.set(number, { bytes, sent: 0, first: 0 })
  }

  get isFull() {
    return this.#waiting.size >= WINDOW
  }

  /** What isn't acknowledged, in order: pairs of number and bytes. */
  get waiting() {
    return [...this.#waiting].map(([number, { bytes }]) => [number, bytes])
  }

  /** Keeps the next message, which is sent now. */
  push(bytes, now) {
    this.#waiting.set(this.next++, { bytes, sent: now, first: now })
  }

  /** An acknowledgement came. */
  acknowledged(number, now) {
    const kept = this.#waiting.get(number)
    if (!kept) return
    this.#waiting.delete(number)
    const took = now - kept.sent
    this.#variation = 0.75 * this.#variation + 0.25 * Math.abs(this.#roundTrip - took)
    this.#roundTrip = 0.875 * this.#roundTrip + 0.125 * took
    const patience = this.#roundTrip + Math.max(LEAST_VARIATION, 4 * this.#variation)
    this.#patience = Math.min(patience, MOST_PATIENCE)
  }

  /** The message that has to go again now, if there is one: only the first ever has. */
  due(now) {
    const [first] = this.#waiting.values()
    if (!first || now - first.sent <= this.#patience) return null
    first.sent = now
    return first.bytes
  }

  /** A new connection: everything that waits goes again, in order. */
  again(now) {
    for (const each of this.#waiting.values()) each.sent = each.first = now
    return this.waiting.map(([, bytes]) => bytes)
  }

  /** How long the oldest has waited on this connection, milliseconds. */
  age(now) {
    const [first] = this.#waiting.values()
    return first ? now - first.first : 0
  }
}

/** What comes in. */
export class Incoming {
  #early = new Map()

  /** `expected` is the number whose turn it is. */
  constructor(expected = 0) {
    this.expected = expected
  }

  /** A message came: those whose turn it is now, and whether it is an old one, whose acknowledgement was
   * lost. One before its turn isn't acknowledged yet: a page that is loaded again has forgotten it. */
  take(number, message) {
    if (number < this.expected) return { ready: [], old: true }
    if (number > this.expected) {
      if (this.#early.size < EARLY) this.#early.set(number, message)
      return { ready: [], old: false }
    }
    const ready = [message]
    this.expected++
    while (this.#early.has(this.expected)) {
      ready.push(this.#early.get(this.expected))
      this.#early.delete(this.expected++)
    }
    return { ready, old: false }
  }
}
