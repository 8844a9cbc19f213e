import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Incoming, Outgoing } from '../stream.js'

test('only the first message is sent again, when its time is over, until it is acknowledged', () => {
  const out = new Outgoing()
  out.push('a', 0)
  out.push('b', 0)
  assert.equal(out.due(200), null)
  assert.equal(out.due(201), 'a')
  assert.equal(out.due(401), null)
  assert.equal(out.due(402), 'a')
  out.acknowledged(0, 402)
  assert.equal(out.due(1500), 'b')
  out.acknowledged(1, 1500)
  assert.equal(out.due(1e9), null)
  assert.equal(out.next, 2)
})

test('patience follows the round trip, and ends at a second', () => {
  const out = new Outgoing()
  for (let i = 0; i < 50; i++) {
    out.push('x', 0)
    out.acknowledged(i, 20)
  }
  out.push('quick', 0)
  assert.equal(out.due(20), null)
  assert.equal(out.due(60), 'quick')
  out.acknowledged(50, 60)
  for (let i = 51; i < 80; i++) {
    out.push('x', 0)
    out.acknowledged(i, 30_000)
  }
  out.push('slow', 0)
  assert.equal(out.due(1000), null)
  assert.equal(out.due(1001), 'slow')
})

test('a new connection gets everything that waits, in order, and so does another page', () => {
  const out = new Outgoing()
  for (const each of ['a', 'b', 'c']) out.push(each, 0)
  out.acknowledged(1, 5)
  out.acknowledged(1, 6)
  out.acknowledged(99, 6)
  assert.equal(out.age(10_000), 10_000)
  assert.deepEqual(out.again(10_000), ['a', 'c'])
  assert.equal(out.age(10_000), 0)
  const other = new Outgoing(out.next, out.waiting)
  assert.deepEqual(other.again(0), ['a', 'c'])
  other.push('d', 0)
  assert.deepEqual(other.waiting, [[0, 'a'], [2, 'c'], [3, 'd']])
})

test('so many are on their way, and no more', () => {
  const out = new Outgoing()
  while (!out.isFull) out.push('x', 0)
  assert.equal(out.next, 64)
  out.acknowledged(63, 1)
  assert.equal(out.isFull, false)
})

test('messages come in their order, whatever order they come in', () => {
  const incoming = new Incoming(5)
  assert.deepEqual(incoming.take(6, 'six'), { ready: [], old: false })
  assert.deepEqual(incoming.take(8, 'eight'), { ready: [], old: false })
  assert.deepEqual(incoming.take(5, 'five'), { ready: ['five', 'six'], old: false })
  assert.deepEqual(incoming.take(5, 'five'), { ready: [], old: true })
  assert.deepEqual(incoming.take(6, 'six'), { ready: [], old: true })
  assert.deepEqual(incoming.take(7, 'seven'), { ready: ['seven', 'eight'], old: false })
  assert.equal(incoming.expected, 9)
})

test('an agent that sends far ahead fills no memory', () => {
  const incoming = new Incoming()
  for (let n = 1; n < 5000; n++) incoming.take(n, n)
  assert.equal(incoming.take(0, 0).ready.length, 1001)
})
