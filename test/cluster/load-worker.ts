import { Agent, request } from 'node:http'

/**
 * Exchanges API keys in a process of its own: started with a URL, a rate a second, and keys; answers a message with the results of
 * the exchanges, and ends; `mark` says that something happens now. It goes at its rate whether or not answers come.
 */
/** An exchange that is sent this long after the mark, or later, is one of afterwards. */
const AFTERWARDS_MS = 500
const [url = '', rate = '', ...secrets] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: 50, scheduling: 'fifo' })
const outcomes: Record<string, number> = {}
let sent = 0
let underWay = 0
let mostUnderWay = 0
let isStopping = false
let markedAt = Number.POSITIVE_INFINITY

function exchange(): void {
  const secret = secrets[sent++ % secrets.length] ?? ''
  const body = `grant_type=client_credentials&client_secret=${encodeURIComponent(secret)}`
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length }
  mostUnderWay = Math.max(mostUnderWay, ++underWay)
  const isAfterwards = performance.now() > markedAt + AFTERWARDS_MS
  let isOver = false
  const over = (outcome: string) => {
    if (isOver) return
    isOver = true
    underWay--
    const name = isAfterwards && outcome !== '200' ? `${outcome} afterwards` : outcome
    outcomes[name] = (outcomes[name] ?? 0) + 1
    if (isStopping && underWay === 0) report()
  }
  const asked = request(url, { method: 'POST', agent, headers, timeout: 10_000 }, answer => {
    answer.resume()
    answer.once('end', () => over(String(answer.statusCode)))
    answer.once('error', () => over('cut off'))
  })
  asked.once('timeout', () => asked.destroy(new Error('no answer in 10 s')))
  asked.once('error', (error: NodeJS.ErrnoException) => over(error.code ?? error.message))
  asked.end(body)
}

const began = performance.now()
const timer = setInterval(() => {
  const due = Math.floor(((performance.now() - began) / 1_000) * Number(rate))
  while (sent < due) exchange()
}, 10)

process.on('message', message => {
  if (message === 'mark') {
    markedAt = performance.now()
    return
  }
  isStopping = true
  clearInterval(timer)
  if (underWay === 0) report()
})
process.once('disconnect', () => process.exit())

const report = () => void process.send?.({ outcomes, mostUnderWay }, () => process.exit())
