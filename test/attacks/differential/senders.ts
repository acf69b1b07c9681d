import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BodyCase } from './bodies.ts'

const TIMEOUT_MS = 20_000
const ATTEMPTS = 3
const PAUSE_MS = 300
const kept = new Agent({ keepAlive: true, maxSockets: 64 })

/** Sends these one after another on each lane. */
export async function onLanes<T>(
  lanes: number,
  all: readonly T[],
  send: (each: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const lane = async () => {
    for (let index = next++; index < all.length; index = next++) await send(all[index] as T, index)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

/**
 * The status of the answer; 0 without one. On a busy machine a gateway may answer 503 for want of one of its own answers:
 * it is asked again.
 */
export async function sendBody(
  url: string,
  { body, headers }: BodyCase,
  credential: string | undefined,
  agent: string,
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const status = await once(url, body, [
      ...headers,
      ...(credential ? [['Authorization', `Bearer ${credential}`] as [string, string]] : []),
      ['User-Agent', agent],
    ])
    if ((status !== 0 && status < 500) || attempt === ATTEMPTS) return status
    await sleep(PAUSE_MS * attempt)
  }
}

function once(url: string, body: Buffer, headers: readonly [string, string][]): Promise<number> {
  const all = [['Host', 'inference.example.com'], ['Content-Length', String(body.length)], ...headers].flat()
  return new Promise(resolve => {
    let status = 0
    const sent = request(url, { method: 'POST', headers: all, agent: kept, timeout: TIMEOUT_MS }, answer => {
      status = answer.statusCode ?? 0
      answer.resume().once('close', () => resolve(status))
    })
    sent.once('timeout', () => sent.destroy())
    sent.once('error', () => resolve(status))
    sent.end(body)
  })
}
