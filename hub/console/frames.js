// The binary messages of a data channel: a header of 120 bytes, all numbers big-endian, and a payload
// (docs/PROTOCOL.md). Pure.

import { sha256 } from './sha256.js'

export const Kind = {
  INPUT: 'input_stream_data',
  OUTPUT: 'output_stream_data',
  ACKNOWLEDGE: 'acknowledge',
  CLOSED: 'channel_closed',
  PAUSE: 'pause_publication',
  START: 'start_publication',
}

export const Type = {
  OUTPUT: 1,
  SIZE: 3,
  HANDSHAKE_REQUEST: 5,
  HANDSHAKE_RESPONSE: 6,
  HANDSHAKE_COMPLETE: 7,
  FLAG: 10,
  STDERR: 11,
  EXIT_CODE: 12,
}

/** Bits of the header's flags: what an acknowledgement carries. */
export const SYN_AND_FIN = 3

const HEADER = 120
// What the first field says: where the length of the payload is.
const HEADER_LENGTH = 116
const SCHEMA = 1
const text = new TextEncoder()

/** A new message id: a random UUID. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = (bytes[6] & 0x0f) | 0x40
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  return uuid(bytes)
}

function uuid(bytes) {
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function idBytes(id) {
  return Uint8Array.from(id.replaceAll('-', '').match(/../g), (pair) => parseInt(pair, 16))
}

// On the wire the two halves of an id have changed places.
function swapped(bytes) {
  return Uint8Array.from([...bytes.slice(8), ...bytes.slice(0, 8)])
}

/** A message's bytes. `payload` is bytes, or what becomes JSON. */
export function encode({ kind, payload, sequence = 0, flags = 0, type = 0, id, created }) {
  const content = payload instanceof Uint8Array ? payload : text.encode(JSON.stringify(payload))
  const bytes = new Uint8Array(HEADER + content.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, HEADER_LENGTH)
  bytes.fill(0x20, 4, 36)
  bytes.set(text.encode(kind), 4)
  view.setUint32(36, SCHEMA)
  view.setBigUint64(40, BigInt(created ?? Date.now()))
  view.setBigInt64(48, BigInt(sequence))
  view.setBigUint64(56, BigInt(flags))
  bytes.set(swapped(idBytes(id ?? newId())), 64)
  bytes.set(sha256(content), 80)
  view.setUint32(112, type)
  view.setUint32(116, content.length)
  bytes.set(content, HEADER)
  return bytes
}

/** A message out of bytes; null if they are none. Types may be padded with zeros, as some do. */
export function decode(bytes) {
  if (bytes.length < HEADER) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const start = view.getUint32(0) + 4
  if (start < HEADER || start > bytes.length) return null
  const payload = bytes.slice(start)
  const kind = new TextDecoder().decode(bytes.slice(4, 36)).replaceAll('\0', ' ').trim()
  const digest = sha256(payload)
  const declared = bytes.slice(80, 112)
  if (!kind || (payload.length > 0 && digest.some((byte, i) => byte !== declared[i]))) return null
  return {
    kind,
    created: Number(view.getBigUint64(40)),
    sequence: Number(view.getBigInt64(48)),
    flags: Number(view.getBigUint64(56)),
    id: uuid(swapped(bytes.slice(64, 80))),
    type: view.getUint32(112),
    payload,
  }
}

/** A payload as JSON; null if it is none. */
export function json(payload) {
  try {
    return JSON.parse(new TextDecoder().decode(payload))
  } catch {
    return null
  }
}

/** What acknowledges a message. */
export function acknowledgement(message, id, created) {
  const payload = {
    AcknowledgedMessageType: message.kind,
    AcknowledgedMessageId: message.id,
    AcknowledgedMessageSequenceNumber: message.sequence,
    IsSequentialMessage: true,
  }
  return encode({ kind: Kind.ACKNOWLEDGE, payload, flags: SYN_AND_FIN, id, created })
}
