// The page: the log-in, the list of nodes, and a session with one of them.

import { Channel, State } from './channel.js'
import * as hub from './hub.js'
import * as kept from './kept.js'

const at = (id) => document.getElementById(id)
const VIEWS = ['list', 'start', 'screen', 'trouble']
const STATES = {
  [State.CONNECTING]: 'connecting',
  [State.CONNECTED]: 'connected',
  [State.RECONNECTING]: 'reconnecting',
  [State.GONE]: 'the node does not answer',
  [State.ENDED]: 'ended',
}
const MISSING =
  'This hub was built without its browser terminal. Where npm is installed, “make console” fetches what is ' +
  'missing; then build the hub again. “aws ssm start-session” works as it is.'

// While somebody types or pastes, the log-in is kept: asked so often, milliseconds.
const KEEP_LOGIN = 5 * 60 * 1000

// How long another tab may take to hand over its session, milliseconds.
const HANDOVER = 250

// The node in the page's path; empty on the list.
const node = decodeURIComponent(location.pathname.match(/^\/console\/sessions\/([^/]+)$/)?.[1] ?? '')

// What other tabs of this browser are told.
const tabs = new BroadcastChannel('stint-console')

let session = null
let channel = null
let screen = null
let loggingIn = null
let entered = () => {}
let asked = 0
let handed = () => {}

function show(view) {
  for (const id of VIEWS) at(id).hidden = id !== view
}

function trouble(words) {
  at('trouble').textContent = words
  show('trouble')
}

// --- who ------------------------------------------------------------------------------------------------

// Shows the form until somebody has logged in, over whatever is there.
function logIn() {
  loggingIn ??= new Promise((done) => {
    const form = at('login')
    form.hidden = false
    at('access-key').focus()
    entered = (accessKey) => {
      form.hidden = true
      at('secret').value = ''
      loggingIn = null
      isLoggedIn(accessKey)
      done()
    }
    form.onsubmit = async (event) => {
      event.preventDefault()
      at('wrong').textContent = ''
      at('enter').disabled = true
      try {
        const { accessKey } = await hub.logIn(at('access-key').value.trim(), at('secret').value)
        // Another tab's form would take the place of this log-in, and end its sessions.
        tabs.postMessage({ in: accessKey })
        entered(accessKey)
      } catch (error) {
        at('wrong').textContent = error.message
        at('secret').select()
      }
      at('enter').disabled = false
    }
    // Another tab may have said that it is logged in while the answer that brought the form was on its way.
    hub.who().then(
      ({ accessKey }) => entered(accessKey),
      () => {},
    )
  })
  return loggingIn
}

function isLoggedIn(accessKey) {
  at('who').textContent = accessKey
  at('logout').hidden = false
}

// Does something in an operator's name, and asks for one if there is none.
async function asOperator(what) {
  for (;;) {
    try {
      return await what()
    } catch (error) {
      if (error.status !== 401) throw error
      await logIn()
    }
  }
}

at('logout').onclick = async () => {
  try {
    await hub.logOut()
  } catch (error) {
    trouble(error.message)
    return
  }
  tabs.postMessage({ out: true })
  isOut()
}

function isOut() {
  kept.forget(sessionStorage)
  location.assign('/console')
}

tabs.onmessage = ({ data }) => {
  if (data.out) isOut()
  else if (data.in) entered(data.in)
  else if (data.handed) handed(data)
  else if (data.wanted === session?.id) handOver()
}

// A tab that was duplicated has its session twice, and what it has kept was overtaken. The newer one asks for
// the session, and gets it with all that the older one knows.
function takeOver(id) {
  return new Promise((done) => {
    handed = (data) => {
      if (data.handed !== id) return
      kept.put(sessionStorage, node, data.text)
      done()
    }
    setTimeout(done, HANDOVER)
    tabs.postMessage({ wanted: id })
  })
}

function handOver() {
  const text = kept.text(sessionStorage, node)
  if (text === null) return
  channel.leave('The session goes on in another tab.')
  kept.forget(sessionStorage, node)
  tabs.postMessage({ handed: session.id, text })
}

// --- nodes ----------------------------------------------------------------------------------------------

async function list() {
  const { nodes, count } = await asOperator(hub.nodes)
  const entries = nodes.map(({ id, name }) => {
    const link = document.createElement('a')
    link.href = `/console/sessions/${encodeURIComponent(id)}`
    const [title, small] = [document.createElement('strong'), document.createElement('code')]
    title.textContent = name || id
    small.textContent = id
    link.append(title, small)
    const entry = document.createElement('li')
    entry.append(link)
    return entry
  })
  at('nodes').replaceChildren(...entries)
  at('none').hidden = count > 0
  const more = count - nodes.length
  at('more').textContent = more > 0 ? `and ${more} more, at /console/sessions/<node id>` : ''
  show('list')
}

async function prepare() {
  const { nodes, count } = await asOperator(hub.nodes)
  const known = nodes.find(({ id }) => id === node)
  at('name').textContent = known?.name ?? ''
  at('away').hidden = known !== undefined || count > nodes.length
  at('refused').textContent = ''
  show('start')
  at('open').focus()
}

at('start').onsubmit = async (event) => {
  event.preventDefault()
  at('refused').textContent = ''
  at('open').disabled = true
  try {
    const reason = at('reason').value.trim()
    const input = reason ? { Target: node, Reason: reason } : { Target: node }
    const started = await asOperator(() => hub.call('StartSession', input))
    await go({ id: started.SessionId, url: started.StreamUrl }, null, started.TokenValue)
  } catch (error) {
    at('refused').textContent = error.message
    show('start')
  }
  at('open').disabled = false
}

// --- a session ------------------------------------------------------------------------------------------

async function go(its, before, token) {
  const { Screen } = await import('./terminal.js')
  session = its
  show('screen')
  at('ended').hidden = true
  at('end').hidden = false
  screen?.dispose()
  channel = new Channel(
    {
      dial: () => new WebSocket(hub.socketUrl(its.url, location)),
      resume: async () => (await asOperator(() => resume(its.id))).TokenValue,
      show: (bytes, done) => screen.show(bytes, done),
      note: (words) => screen.note(words),
      state: told,
      keep: (state) =>
        state ? kept.keep(sessionStorage, node, its, state) : kept.forget(sessionStorage, node),
    },
    before,
  )
  screen = new Screen(
    at('terminal'),
    (bytes) => channel.type(bytes),
    (cols, rows) => channel.resize(cols, rows),
  )
  if (token) channel.start(token)
  else channel.resume()
}

const resume = (id) => hub.call('ResumeSession', { SessionId: id })

function told(state, why) {
  const label = at('state')
  label.hidden = false
  label.dataset.state = state
  label.textContent = STATES[state]
  document.title = state === State.CONNECTED ? `${node} – stint` : `${STATES[state]} – ${node} – stint`
  // After a log-in, too.
  if (state === State.CONNECTED) screen.focus()
  if (state !== State.ENDED) return
  at('why').textContent = why
  at('ended').hidden = false
  at('end').hidden = true
  screen?.freeze()
  at('anew').focus()
}

// What people do. The terminal answers programs' questions, too, and those must keep no log-in.
for (const deed of ['keydown', 'input', 'paste']) at('terminal').addEventListener(deed, stay, true)

function stay() {
  if (performance.now() - asked < KEEP_LOGIN) return
  asked = performance.now()
  hub.who().catch(() => {})
}

at('end').onclick = async () => {
  try {
    await asOperator(() => hub.call('TerminateSession', { SessionId: session.id }))
  } catch (error) {
    screen.note(error.message)
  }
  // Unless the session has ended by now, and the next thing to press has the focus.
  if (!at('end').hidden) screen.focus()
}

at('anew').onclick = () => {
  at('state').hidden = true
  prepare().catch((error) => trouble(error.message))
}

addEventListener('online', () => channel?.hurry())

// --- the beginning --------------------------------------------------------------------------------------

async function main() {
  at('where').textContent = node
  if (node) document.title = `${node} – stint`
  isLoggedIn((await asOperator(hub.who)).accessKey)
  if (!node) return list()
  if (document.body.dataset.terminal !== 'there') return trouble(MISSING)
  if (kept.load(sessionStorage, node) === null) return prepare()
  await takeOver(kept.load(sessionStorage, node).session.id)
  const before = kept.load(sessionStorage, node)
  return go(before.session, before.channel, null)
}

main().catch((error) => trouble(error.message))
