// SHA-256 of a few kilobytes at once. Browsers' own is for pages over TLS only, and answers later.

const ROUND = new Uint32Array(64)
const START = new Uint32Array(8)

// The constants are the first bits of the fractions of the roots of the first primes.
for (let number = 2, found = 0; found < 64; number++) {
  let prime = true
  for (let by = 2; by * by <= number && prime; by++) prime = number % by !== 0
  if (!prime) continue
  const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32)
  if (found < 8) START[found] = fraction(Math.sqrt(number))
  ROUND[found++] = fraction(Math.cbrt(number))
}

const turn = (word, bits) => (word >>> bits) | (word << (32 - bits))

/** The digest of bytes: 32 bytes. */
export function sha256(bytes) {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n)
  const state = START.slice()
  const words = new Uint32Array(64)
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(block + 4 * i)
    for (let i = 16; i < 64; i++) {
      const early = words[i - 15]
      const late = words[i - 2]
      const one = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3)
      const two = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10)
      words[i] = words[i - 16] + one + words[i - 7] + two
    }
    mix(state, words)
  }
  const digest = new Uint8Array(32)
  const out = new DataView(digest.buffer)
  state.forEach((word, i) => out.setUint32(4 * i, word))
  return digest
}

function mix(state, words) {
  let [a, b, c, d, e, f, g, h] = state
  for (let i = 0; i < 64; i++) {
    const choice = (e & f) ^ (~e & g)
    const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choice + ROUND[i] + words[i]
    const majority = (a & b) ^ (a & c) ^ (b & c)
    const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + majority
    h = g
    g = f
    f = e
    e = (d + one) | 0
    d = c
    c = b
    b = a
    a = (one + two) | 0
  }
  ;[a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] += word))
}
