// A channel on sockets that the test holds the other end of.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Channel, State } from '../channel.js'
import { Kind, Type, decode, encode, json } from '../frames.js'
import * as kept from '../kept.js'

const bytes = (string) => new TextEncoder().encode(string)
const string = (raw) => new TextDecoder().decode(raw)

class Socket {
  readyState = 0
  bufferedAmount = 0
  sent = []

  send(data) {
    this.sent.push(data)
  }

  close() {
    this.readyState = 3
  }

  // --- the other end ---

  open() {
    this.readyState = 1
    this.onopen()
    return this
  }

  cut() {
    this.readyState = 3
    this.onclose()
  }

  say(message) {
    this.onmessage({ data: encode({ kind: Kind.OUTPUT, type: Type.OUTPUT, ...message }).buffer })
  }

  show(sequence, words) {
    this.say({ sequence, payload: bytes(words) })
  }

  acknowledge(...numbers) {
    for (const number of numbers) {
      this.say({ kind: Kind.ACKNOWLEDGE, payload: { AcknowledgedMessageSequenceNumber: number } })
    }
  }

  /** What came but the opening: number, type and payload of data, and the numbers of acknowledgements. */
  get came() {
    const frames = this.sent.slice(1).map(decode)
    const data = frames.filter(({ kind }) => kind === Kind.INPUT)
    const acks = frames.filter(({ kind }) => kind === Kind.ACKNOWLEDGE)
    return {
      data: data.map(({ sequence, type, payload }) => [sequence, type, string(payload)]),
      acks: acks.map(({ payload }) => json(payload).AcknowledgedMessageSequenceNumber),
    }
  }
}

class World {
  sockets = []
  states = []
  shown = ''
  notes = []
  kept = null
  tokens = ['second', 'third', 'fourth']
  // When false, what is shown takes until `drawn` is called.
  quick = true
  waiting = []

  dial() {
    this.sockets.push(new Socket())
    return this.sockets.at(-1)
  }

  async resume() {
    const token = this.tokens.shift()
    if (token instanceof Error) throw token
    return token
  }

  show(raw, done) {
    this.shown += string(raw)
    if (this.quick) done()
    else this.waiting.push(done)
  }

  note(words) {
    this.notes.push(words)
  }

  state(state, why) {
    this.states.push(why ? `${state}: ${why}` : state)
  }

  keep(state) {
    this.kept = state
  }

  get socket() {
    return this.sockets.at(-1)
  }
}

async function until(what, probe) {
  for (let i = 0; i < 1000; i++) {
    if (probe()) return
    await new Promise((done) => setTimeout(done, 10))
  }
  assert.fail(`waited in vain until ${what}`)
}

/** A shell that has shown its prompt. */
function shell(before = null) {
  const world = new World()
  const channel = new Channel(world, before)
  channel.resize(80, 24)
  if (!before) {
    channel.start('first')
    world.socket.open().show(0, '$ ')
  }
  return { world, channel }
}

test('a shell begins with its prompt, then the window and the keys go in order', (t) => {
  const { world, channel } = shell()
  t.after(() => channel.leave(''))
  const opening = JSON.parse(world.socket.sent[0])
  assert.deepEqual([opening.TokenValue, opening.MessageSchemaVersion], ['first', '1.0'])
  channel.type(bytes('ls\r'))
  const { data, acks } = world.socket.came
  assert.deepEqual(data, [
    [0, Type.SIZE, '{"cols":80,"rows":24}'],
    [1, Type.OUTPUT, 'ls\r'],
  ])
  assert.deepEqual([acks, world.shown], [[0], '$ '])
  assert.deepEqual(world.states, [State.CONNECTING, State.CONNECTED])
})

test('keys that are typed before the prompt wait for it, and only the last window counts', (t) => {
  const world = new World()
  const channel = new Channel(world)
  t.after(() => channel.leave(''))
  channel.start('first')
  channel.resize(80, 24)
  channel.type(bytes('early'))
  channel.resize(100, 30)
  world.socket.open()
  assert.deepEqual(world.socket.came.data, [])
  world.socket.show(0, '$ ')
  assert.deepEqual(world.socket.came.data, [
    [0, Type.OUTPUT, 'early'],
    [1, Type.SIZE, '{"cols":100,"rows":30}'],
  ])
})

test('nothing is acknowledged before it is shown, in whatever order it came', (t) => {
  const { world, channel } = shell()
  t.after(() => channel.leave(''))
  world.quick = false
  world.socket.show(2, 'c')
  world.socket.show(1, 'b')
  assert.equal(world.shown, '$ bc')
  assert.deepEqual(world.socket.came.acks, [0])
  for (const done of world.waiting) done()
  assert.deepEqual(world.socket.came.acks, [0, 1, 2])
  world.socket.show(1, 'b')
  assert.equal(world.shown, '$ bc')
  assert.deepEqual(world.socket.came.acks, [0, 1, 2, 1])
})

test('what is not acknowledged goes again, byte for byte', async (t) => {
  const { world, channel } = shell()
  t.after(() => channel.leave(''))
  world.socket.acknowledge(0)
  channel.type(bytes('a'))
  const count = world.socket.sent.length
  await until('it has gone again', () => world.socket.sent.length > count)
  assert.deepEqual(world.socket.sent.at(-1), world.socket.sent[count - 1])
})

test('a broken connection comes again and nothing is lost or doubled', async (t) => {
  const { world, channel } = shell()
  t.after(() => channel.leave(''))
  world.socket.acknowledge(0)
  channel.type(bytes('a'))
  world.socket.cut()
  channel.type(bytes('b'))
  await until('it dials again', () => world.sockets.length === 2)
  world.socket.open()
  assert.equal(JSON.parse(world.socket.sent[0]).TokenValue, 'second')
  world.socket.show(0, '$ ')
  world.socket.show(1, 'ab')
  // What waited goes first, then the window, then what was typed meanwhile.
  assert.deepEqual(world.socket.came.data, [
    [1, Type.OUTPUT, 'a'],
    [2, Type.SIZE, '{"cols":80,"rows":24}'],
    [3, Type.OUTPUT, 'b'],
  ])
  assert.equal(world.shown, '$ ab')
  assert.deepEqual(world.states.slice(2), [State.RECONNECTING, State.CONNECTED])
})

test('a page that is loaded again goes on with the numbers and the keys of the one before', async (t) => {
  const storage = new Map()
  const store = { setItem: (key, value) => storage.set(key, value), getItem: (key) => storage.get(key) ?? null }
  const { world, channel } = shell()
  world.socket.show(1, 'more')
  world.socket.acknowledge(0)
  channel.type(Uint8Array.from([0, 255, 13]))
  kept.keep(store, 'mi-1', { id: 's', url: 'u' }, world.kept)
  channel.leave('loaded again')
  const before = kept.load(store, 'mi-1')
  assert.deepEqual(before.session, { id: 's', url: 'u' })
  const again = shell(before.channel)
  t.after(() => again.channel.leave(''))
  again.channel.resume()
  await until('it dials', () => again.world.sockets.length === 1)
  again.world.socket.open()
  again.channel.type(bytes('x'))
  again.world.socket.show(1, 'more')
  again.world.socket.show(2, 'new')
  assert.equal(again.world.shown, 'new')
  const sequences = again.world.socket.came.data.map(([sequence, type]) => [sequence, type])
  // The keys that waited; the window, changed and back, so that programs draw; then new keys.
  assert.deepEqual(sequences, [[1, Type.OUTPUT], [2, Type.SIZE], [3, Type.SIZE], [4, Type.OUTPUT]])
  assert.equal(kept.load(store, 'mi-2'), null)
})

test('the end is told with its reason, and leaves nothing to go on with', () => {
  const { world, channel } = shell()
  world.socket.say({ kind: Kind.CLOSED, payload: { Output: 'The session was idle for too long.' } })
  assert.equal(world.states.at(-1), 'ended: The session was idle for too long.')
  assert.equal(world.kept, null)
  assert.equal(world.socket.readyState, 3)
  channel.type(bytes('x'))
  world.socket.cut()
  assert.equal(world.sockets.length, 1)
})

test('a session that can not be had again is over, and one whose hub is away is tried again', async () => {
  const { world } = shell()
  const away = Object.assign(new Error('away'), { final: false })
  const over = Object.assign(new Error('There is no open session s.'), { final: true })
  world.tokens = [away, over]
  world.socket.cut()
  await until('it has ended', () => world.states.at(-1).startsWith(State.ENDED))
  assert.equal(world.states.at(-1), 'ended: There is no open session s.')
  assert.equal(world.sockets.length, 1)
})

test('a command without a terminal begins with a handshake, and a port is refused', (t) => {
  for (const [SessionType, status] of [['NonInteractiveCommands', 1], ['Port', 3]]) {
    const world = new World()
    const channel = new Channel(world)
    t.after(() => channel.leave(''))
    channel.start('first')
    world.socket.open()
    const actions = [{ ActionType: 'SessionType', ActionParameters: { SessionType, Properties: null } }]
    const payload = { AgentVersion: '3.1.1512.0', RequestedClientActions: actions }
    world.socket.say({ type: Type.HANDSHAKE_REQUEST, payload })
    const [[sequence, type, words]] = world.socket.came.data
    assert.deepEqual([sequence, type], [0, Type.HANDSHAKE_RESPONSE])
    assert.equal(JSON.parse(words).ProcessedClientActions[0].ActionStatus, status)
    channel.resize(80, 24)
    assert.equal(world.socket.came.data.length, 1)
    const complete = { HandshakeTimeToComplete: 1, CustomerMessage: 'hello' }
    world.socket.say({ type: Type.HANDSHAKE_COMPLETE, sequence: 1, payload: complete })
    world.socket.say({ type: Type.STDERR, sequence: 2, payload: bytes('err') })
    world.socket.say({ type: Type.EXIT_CODE, sequence: 3, payload: bytes('EXIT_CODE: 7') })
    assert.deepEqual([world.notes, world.shown], [['hello'], 'errEXIT_CODE: 7'])
    assert.deepEqual(world.socket.came.acks, [0, 1, 2, 3])
    assert.equal(world.socket.came.data.length, 2)
  }
})

test('an agent that is paused is gone until it is heard of', (t) => {
  const { world, channel } = shell()
  t.after(() => channel.leave(''))
  world.socket.say({ kind: Kind.PAUSE, payload: bytes('') })
  assert.equal(world.states.at(-1), State.GONE)
  world.socket.show(1, 'back')
  assert.equal(world.states.at(-1), State.CONNECTED)
})

test('a paste goes in pieces, so many at a time, and too much is refused in words', (t) => {
  const { world, channel } = shell()
  t.after(() => channel.leave(''))
  world.socket.acknowledge(0)
  const paste = bytes('x'.repeat(200 * 1024))
  channel.type(paste)
  assert.equal(world.socket.came.data.length, 1 + 64)
  for (let n = 1; n < 201; n++) world.socket.acknowledge(n)
  assert.equal(world.socket.came.data.length, 201)
  assert.equal(world.socket.came.data.slice(1).map(([, , words]) => words).join('').length, paste.length)
  channel.type(new Uint8Array(2 * 1024 * 1024))
  assert.equal(world.notes.length, 1)
})

test('a node that acknowledges nothing for seconds does not answer, until it does', async (t) => {
  const { world, channel } = shell()
  t.after(() => channel.leave(''))
  world.socket.acknowledge(0)
  channel.type(bytes('x'))
  await until('it counts as gone', () => world.states.at(-1) === State.GONE)
  world.socket.acknowledge(1)
  assert.equal(world.states.at(-1), State.CONNECTED)
})
