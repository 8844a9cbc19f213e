// What the page asks of the hub.

/** An answer that is none. `status` is HTTP's, 0 if the hub wasn't reached. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message)
    this.status = status
    this.code = code
  }

  /** Whether to ask again is of no use. */
  get final() {
    return this.status >= 400 && this.status < 500 && ![401, 408, 429].includes(this.status)
  }
}

async function ask(method, path, body) {
  let answer
  let said
  try {
    const headers = body ? { 'content-type': 'application/json' } : {}
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) })
    said = await answer.json()
  } catch {
    throw new Refused(answer?.status ?? 0, '', 'The hub does not answer.')
  }
  if (!answer.ok) throw new Refused(answer.status, said.__type, said.message)
  return said
}

/** Who is logged in: `{ accessKey }`. */
export const who = () => ask('GET', '/console/login')

export const logIn = (accessKey, secret) => ask('POST', '/console/login', { accessKey, secret })

export const logOut = () => ask('POST', '/console/logout', {})

/** The nodes that can be reached: `{ nodes: [{ id, name }], count }`. */
export const nodes = () => ask('GET', '/console/nodes')

/** An operation of the API. */
export const call = (operation, input) => ask('POST', `/console/call/${operation}`, input)

/** The hub's place for a session. By whatever name the API calls the hub, this page came from it. */
export function socketUrl(streamUrl, location) {
  const { pathname, search } = new URL(streamUrl)
  return `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}${pathname}${search}`
}
