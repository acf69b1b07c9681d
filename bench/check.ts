// What the second door takes, answered from memory: node bench/check.ts, with DATABASE_SERVER, a superuser's URL of a Postgres.
// 1,000 checks a second beside 200 exchanges a second for ten seconds, then as many checks, and as many exchanges, as go.
import { mkdtemp } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from '../src/config/config.ts'
import { Env } from '../src/config/env.ts'
import { startService } from '../src/service.ts'
import { createLogger } from '../src/system/logger.ts'
import { makeInstallation } from './installation.ts'

const SECONDS = 10
const CONNECTIONS = 16

const server = process.env.DATABASE_SERVER
if (!server) throw new Error('DATABASE_SERVER is not set: a superuser of a Postgres')
const installation = await makeInstallation(server, 1_000, await mkdtemp(join(tmpdir(), 'mintmark-bench-')))
// The tenants of the installation have an audience of their own choosing: the door takes the default one.
const config = readConfig(new Env(installation.environment))
const logger = createLogger('info', { write: () => {} })
const service = await startService(config, { logger })
await service.ready

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
const { apiKey } = installation
const check = () =>
  send(`${service.urls.gateway}/check/v1/chat/completions`, 'GET', { authorization: `Bearer ${apiKey}` })
const exchange = () =>
  send(
    `${service.urls.public}/oauth/token`,
    'POST',
    { 'content-type': 'application/x-www-form-urlencoded' },
    `grant_type=client_credentials&client_secret=${apiKey}`,
  )

try {
  for (const ask of [check, exchange]) await flatOut(ask, 2)
  const [checks] = await Promise.all([steadily(check, 1_000), steadily(exchange, 200)])
  console.log(
    `1,000 checks a second beside 200 exchanges: p50 ${at(checks, 0.5)} ms, p99 ${at(checks, 0.99)} ms`,
  )
  const most = { checks: await flatOut(check, SECONDS), exchanges: await flatOut(exchange, SECONDS) }
  console.log(
    `as many as go, client and service in one process: ${most.checks} checks a second, ${most.exchanges} exchanges a second, ${(most.checks / most.exchanges).toFixed(2)} times`,
  )
} finally {
  agent.destroy()
  await service.stop()
  await installation.drop()
}

function send(url: string, method: string, headers: Record<string, string>, body = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent }, answer => {
      answer.resume()
      answer.once('end', () =>
        answer.statusCode === 200 ? resolve() : reject(new Error(`answered ${answer.statusCode}`)),
      )
    })
    asked.once('error', reject).end(body)
  })
}

/** Milliseconds from the moment at which each was due, in order. */
async function steadily(ask: () => Promise<void>, perSecond: number): Promise<number[]> {
  const taken: number[] = []
  const waiting: Promise<void>[] = []
  const began = performance.now()
  for (let sent = 0; sent < perSecond * SECONDS; ) {
    const due = Math.min(perSecond * SECONDS, ((performance.now() - began) / 1000) * perSecond)
    for (; sent < due; sent++) {
      const dueAt = began + (sent / perSecond) * 1000
      waiting.push(ask().then(() => void taken.push(performance.now() - dueAt)))
    }
    await sleep(1)
  }
  await Promise.all(waiting)
  return taken.toSorted((a, b) => a - b)
}

async function flatOut(ask: () => Promise<void>, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000
  let done = 0
  const connection = async () => {
    for (; performance.now() < until; done++) await ask()
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, connection))
  return Math.round(done / seconds)
}

function at(sorted: number[], share: number): string {
  return (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1)
}
