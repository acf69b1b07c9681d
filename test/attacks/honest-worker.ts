import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { grpcCheck } from './grpc-check.ts'
import {
  type FromHonest,
  HONEST_AGENT,
  type HonestPlan,
  type HonestSample,
  type ToHonest,
  UNSENT,
} from './honest.ts'
import { MODEL } from './installation.ts'

/**
 * A process of its own, so that sending an attack does not delay it: the honest client, open loop, and the engine, which
 * answers every request and counts those that are not honest.
 */
const TICK_MS = 2
const TIMEOUT_MS = 20_000
const MOST_UNDER_WAY = 200
const BODY = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hello' }] })

let samples: HonestSample[] = []
let strays = 0
let timer: NodeJS.Timeout | undefined
const agent = new Agent({ keepAlive: true, maxSockets: 50 })

const engine = createServer((req, res) => {
  if (req.headers['user-agent'] !== HONEST_AGENT) strays++
  req.resume().once('end', () => res.setHeader('content-type', 'application/json').end('{"object":"test"}'))
  req.once('error', () => {})
}).listen(0, '127.0.0.1', () => send({ type: 'engine', port: (engine.address() as AddressInfo).port }))

function send(message: FromHonest): void {
  process.send?.(message)
}

/** Status 0: no answer. One repeat, as every client does, when a kept connection was closed in between. */
function overHttp({ url, path }: HonestPlan, credential: string, mayRepeat = true): Promise<number> {
  const headers = {
    authorization: `Bearer ${credential}`,
    'content-type': 'application/json',
    'content-length': BODY.length,
    'user-agent': HONEST_AGENT,
  }
  return new Promise(resolve => {
    const sent = request(`${url}${path}`, { method: 'POST', agent, headers, timeout: TIMEOUT_MS }, answer => {
      answer.resume().once('close', () => resolve(answer.statusCode ?? 0))
    })
    sent.once('timeout', () => sent.destroy())
    sent.once('error', () => {
      resolve(sent.reusedSocket && mayRepeat ? overHttp({ url, path } as HonestPlan, credential, false) : 0)
    })
    sent.end(BODY)
  })
}

let ask: (credential: string) => Promise<number>
let plan: HonestPlan
let underWay = 0

function use(given: HonestPlan): void {
  plan = given
  const grpc = plan.over === 'grpc' ? grpcCheck(plan.url, TIMEOUT_MS) : undefined
  ask = credential => grpc?.(credential, BODY) ?? overHttp(plan, credential)
}

function start(): void {
  const begun = performance.now()
  let sent = 0
  timer = setInterval(() => {
    for (; begun + (sent * 1000) / plan.perSecond <= performance.now(); sent++) {
      const due = begun + (sent * 1000) / plan.perSecond
      if (underWay >= MOST_UNDER_WAY) {
        samples.push({ ms: Number.NaN, status: UNSENT })
        continue
      }
      underWay++
      void ask(plan.credentials[sent % plan.credentials.length] ?? '').then(status => {
        underWay--
        samples.push({ ms: performance.now() - due, status })
      })
    }
  }, TICK_MS)
}

/** Sends no more, and waits for the answers. */
async function stop(): Promise<void> {
  clearInterval(timer)
  while (underWay > 0) await sleep(TICK_MS)
  send({ type: 'stopped', samples, strays })
  samples = []
  strays = 0
}

process.on('message', (message: ToHonest) => {
  if (message.type === 'use') use(message.plan)
  if (message.type === 'start') start()
  if (message.type === 'stop') void stop()
})
process.once('disconnect', () => process.exit())
