// What a tab keeps of its sessions, so that the same page, loaded again, goes on with the same shell: ids
// and numbers, and what was typed and isn't acknowledged. Nothing of what was shown.

const PREFIX = 'stint-session:'

const toText = (bytes) => btoa(String.fromCharCode(...bytes))
const toBytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))

/** Keeps a session of a node: `{ id, url }`, and its channel's state. */
export function keep(storage, node, session, channel) {
  const waiting = channel.waiting.map(([number, bytes]) => [number, toText(bytes)])
  storage.setItem(PREFIX + node, JSON.stringify({ session, channel: { ...channel, waiting } }))
}

/** All that is kept for a node, as text; null if nothing is. */
export const text = (storage, node) => storage.getItem(PREFIX + node)

/** Keeps what another tab has kept. */
export const put = (storage, node, text) => storage.setItem(PREFIX + node, text)

/** What was kept for a node; null if nothing was that makes sense. */
export function load(storage, node) {
  try {
    const { session, channel } = JSON.parse(storage.getItem(PREFIX + node))
    const waiting = channel.waiting.map(([number, text]) => [number, toBytes(text)])
    return { session, channel: { ...channel, waiting } }
  } catch {
    return null
  }
}

/** Forgets a node's session, or all of them. */
export function forget(storage, node = null) {
  const keys = Object.keys(storage).filter((key) => key.startsWith(PREFIX))
  for (const key of node === null ? keys : [PREFIX + node]) storage.removeItem(key)
}
