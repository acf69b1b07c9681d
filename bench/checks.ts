import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TOKEN } from './answers.ts'
import { CONNECTIONS } from './comparison.ts'
import { LOAD_CORE, startMintmark } from './contestants.ts'
import type { Installation } from './installation.ts'
import type { Load } from './load.ts'
import { interleave, type Result } from './rounds.ts'

const CHECK = '/check/v1/chat/completions'
const CHECKS_A_SECOND = 1_000
const EXCHANGES_A_SECOND = 200
const STEADY_SECONDS = 10
const STEADY_CONNECTIONS = 16

/** Durations, measured from the moment at which each request was due. */
interface Steady {
  name: string
  perSecond: number
  p50Ms: number
  p99Ms: number
}

/**
 * The cost of a gateway check per request: the maximum rate of checks of one key, next to exchanges of it; and the
 * latency of checks at a steady rate while exchanges run at another.
 */
export async function checks(
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<{ flatOut: Result[]; steadyLoad: Steady[] }> {
  const server = await startMintmark(installation, directory)
  const load = { connections: CONNECTIONS, seconds: pace.seconds, core: LOAD_CORE }
  const asked = await checkLoad(installation, directory)
  try {
    const flatOut = await interleave(
      [
        { name: 'an exchange', server, load: { ...load, path: TOKEN, credentials: installation.first } },
        {
          name: 'a check of an API key',
          server: { ...server, url: server.gatewayUrl },
          load: { ...load, ...asked },
        },
      ],
      pace.rounds,
    )
    return { flatOut, steadyLoad: await steady(server, installation.apiKey) }
  } finally {
    await server.stop()
  }
}

/** A check of the first key, as gateways send it. */
export async function checkLoad(
  { apiKey }: Installation,
  directory: string,
): Promise<Pick<Load, 'path' | 'credentials' | 'purpose'>> {
  const credentials = join(directory, 'bearer')
  await writeFile(credentials, `Bearer ${apiKey}\n`)
  return { path: CHECK, credentials, purpose: 'check' }
}

async function steady(server: { url: string; gatewayUrl: string }, apiKey: string): Promise<Steady[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: STEADY_CONNECTIONS })
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const body = `grant_type=client_credentials&client_secret=${apiKey}`
  const check = () => send(agent, server.gatewayUrl + CHECK, 'GET', { authorization: `Bearer ${apiKey}` })
  const exchange = () => send(agent, server.url + TOKEN, 'POST', form, body)
  try {
    const [checked, exchanged] = await Promise.all([
      steadily(check, CHECKS_A_SECOND),
      steadily(exchange, EXCHANGES_A_SECOND),
    ])
    return [
      { name: 'checks during exchanges, at a steady rate', perSecond: CHECKS_A_SECOND, ...checked },
      { name: 'those exchanges', perSecond: EXCHANGES_A_SECOND, ...exchanged },
    ]
  } finally {
    agent.destroy()
  }
}

function send(
  agent: Agent,
  url: string,
  method: string,
  headers: Record<string, string>,
  body = '',
): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent }, answer => {
      answer.resume()
      answer.once('end', () =>
        answer.statusCode === 200 ? resolve() : reject(new Error(`${url} answered ${answer.statusCode}`)),
      )
    })
    asked.once('error', reject).end(body)
  })
}

/** Includes waiting for a connection, and delays of this process. */
async function steadily(
  ask: () => Promise<void>,
  perSecond: number,
): Promise<{ p50Ms: number; p99Ms: number }> {
  const taken: number[] = []
  const waiting: Promise<void>[] = []
  const total = perSecond * STEADY_SECONDS
  const began = performance.now()
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, ((performance.now() - began) / 1000) * perSecond)
    for (; sent < due; sent++) {
      const dueAt = began + (sent / perSecond) * 1000
      waiting.push(ask().then(() => void taken.push(performance.now() - dueAt)))
    }
    await sleep(1)
  }
  await Promise.all(waiting)
  taken.sort((a, b) => a - b)
  const at = (share: number) => taken[Math.floor(taken.length * share)] ?? 0
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}
