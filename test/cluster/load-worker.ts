import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'
import type { Exchanged } from './load.ts'

/**
 * Exchanges API keys in a process of its own: started with a URL, a rate a second, and keys; answers a message with the results of
 * the exchanges, and ends; `mark` says that something happened. It goes at its rate whether or not answers come, until so many
 * exchanges wait that it is this machine that is behind: then it leaves some out. It gives up none: on a busy machine an answer is late.
 */
const CONNECTIONS = 50
const MOST_WAITING = 500
const SLOW_MS = 10_000
/** After the end of the load, and longer than any timeout of Mintmark. */
const PATIENCE_MS = 90_000
const [url = '', rate = '', ...secrets] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, scheduling: 'fifo' })
const openedAt = new WeakMap<Socket, number>()
const exchanged: Exchanged = {
  ...{ outcomes: {}, mostUnderWay: 0, leftOut: 0, slow: 0, newConnectionsFailed: 0 },
}
let due = 0
let sent = 0
let waiting = 0
let underWay = 0
let isStopping = false
let markedAt = Number.POSITIVE_INFINITY

function exchange(): void {
  const secret = secrets[sent++ % secrets.length] ?? ''
  const body = `grant_type=client_credentials&client_secret=${encodeURIComponent(secret)}`
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length }
  const beganAt = performance.now()
  let connection: Socket | undefined
  let isOver = false
  waiting++
  const over = (outcome: string) => {
    if (isOver) return
    isOver = true
    waiting--
    if (connection) underWay--
    exchanged.outcomes[outcome] = (exchanged.outcomes[outcome] ?? 0) + 1
    if (performance.now() - beganAt > SLOW_MS) exchanged.slow++
    if (outcome !== '200' && connection && (openedAt.get(connection) ?? 0) > markedAt)
      exchanged.newConnectionsFailed++
    if (isStopping && waiting === 0) report()
  }
  const asked = request(url, { method: 'POST', agent, headers }, answer => {
    answer.resume()
    answer.once('end', () => over(String(answer.statusCode)))
    answer.once('error', () => over('cut off'))
  })
  asked.once('socket', socket => {
    connection = socket
    if (!openedAt.has(socket)) openedAt.set(socket, performance.now())
    exchanged.mostUnderWay = Math.max(exchanged.mostUnderWay, ++underWay)
  })
  asked.once('error', (error: NodeJS.ErrnoException) => over(error.code ?? error.message))
  asked.end(body)
}

const began = performance.now()
const timer = setInterval(() => {
  const now = Math.floor(((performance.now() - began) / 1_000) * Number(rate))
  for (; due < now; due++) {
    if (waiting < MOST_WAITING) exchange()
    else exchanged.leftOut++
  }
}, 10)

process.on('message', message => {
  if (message === 'mark') {
    markedAt = performance.now()
    return
  }
  isStopping = true
  clearInterval(timer)
  if (waiting === 0) report()
  else
    setTimeout(() => {
      exchanged.outcomes['no answer'] = waiting
      report()
    }, PATIENCE_MS)
})
process.once('disconnect', () => process.exit())

const report = () => void process.send?.(exchanged, () => process.exit())
