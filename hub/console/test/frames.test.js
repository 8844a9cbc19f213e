// The messages, held against the published vectors that wire/ and the Python tests are held against.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Kind, SYN_AND_FIN, Type, acknowledgement, decode, encode, json, newId } from '../frames.js'
import { sha256 } from '../sha256.js'

const FILE = new URL('../../../wire/src/mgs/vectors.txt', import.meta.url)
const VECTORS = Object.fromEntries(
  readFileSync(FILE, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')),
)
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bytesOf = (letter) => new Uint8Array(Buffer.from(VECTORS[letter], 'hex'))
const text = (string) => new TextEncoder().encode(string)

const created = 1_700_000_000_000
const id = '00112233-4455-4677-8899-aabbccddeeff'

test('what a client sends is the published vectors, byte for byte', () => {
  const said = [
    ['I', Type.SIZE, 0, text('{"cols":101,"rows":33}')],
    ['J', Type.OUTPUT, 1, text('ls\n')],
    [
      'L',
      Type.HANDSHAKE_RESPONSE,
      0,
      {
        ClientVersion: '1.2.650.0',
        ProcessedClientActions: [
          { ActionType: 'SessionType', ActionStatus: 1, ActionResult: null, Error: '' },
        ],
        Errors: null,
      },
    ],
  ]
  for (const [letter, type, sequence, payload] of said) {
    const bytes = encode({ kind: Kind.INPUT, payload, type, sequence, id, created })
    assert.equal(hex(bytes), VECTORS[letter], letter)
  }
  const prompt = decode(bytesOf('G'))
  const ack = acknowledgement(prompt, '44444444-5555-4666-8777-888888888888', created)
  assert.equal(hex(ack), VECTORS.H)
})

test('what an agent sends is read as it was meant', () => {
  const prompt = decode(bytesOf('G'))
  assert.equal(new TextDecoder().decode(prompt.payload), '$ ')
  const { kind, sequence, flags, type } = prompt
  assert.deepEqual({ kind, sequence, flags, type }, { kind: Kind.OUTPUT, sequence: 0, flags: 1, type: 1 })
  assert.equal(prompt.id, id)
  assert.equal(prompt.created, created)
  assert.equal(decode(bytesOf('H')).flags, SYN_AND_FIN)
  const request = json(decode(bytesOf('K')).payload)
  assert.equal(request.RequestedClientActions[0].ActionParameters.SessionType, 'Port')
  assert.equal(decode(bytesOf('M')).type, Type.HANDSHAKE_COMPLETE)
  for (const letter of Object.keys(VECTORS)) assert.notEqual(decode(bytesOf(letter)), null, letter)
})

test('what is no message is none', () => {
  const good = bytesOf('G')
  const changed = (at, value) => good.map((byte, i) => (i === at ? value : byte))
  assert.equal(decode(new Uint8Array()), null)
  for (let length = 0; length < 120; length++) assert.equal(decode(good.slice(0, length)), null)
  assert.equal(decode(changed(120, 0x25)), null, 'another payload')
  assert.equal(decode(changed(80, 0)), null, 'another digest')
  assert.equal(decode(changed(3, 0)), null, 'a shorter header')
  assert.equal(decode(changed(0, 0xff)), null, 'a header longer than everything')
  const zeros = good.slice()
  zeros.fill(0, 4 + 'output_stream_data'.length, 36)
  assert.equal(decode(zeros).kind, Kind.OUTPUT)
  assert.equal(json(text('no json')), null)
})

test('ids are random UUIDs of version 4', () => {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  assert.match(newId(), form)
  assert.notEqual(newId(), newId())
  assert.equal(decode(encode({ kind: Kind.INPUT, payload: text('x'), id })).id, id)
})

test('digests are those of everybody else', () => {
  for (let length = 0; length < 300; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 131 + length) & 0xff)
    assert.equal(hex(sha256(bytes)), createHash('sha256').update(bytes).digest('hex'), `${length}`)
  }
  const long = new Uint8Array(100_000).fill(0xa5)
  assert.equal(hex(sha256(long)), createHash('sha256').update(long).digest('hex'))
})
