import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Wish } from './recording-engine.ts'

/** A key of a tenant, and a token of an hour. */
export interface Holder {
  tenant: string
  key: string
  token: string
}

interface Plan {
  /** Of gateways; each request goes to one of them. */
  urls: readonly string[]
  holders: readonly Holder[]
  models: readonly string[]
  requests: number
  /** At the same time. */
  together: number
  /** A second; undefined: as many as are answered. */
  rate?: number
  random: () => number
  /** Ends earlier. */
  isOver?: () => boolean
}

/** How many requests had which result. */
interface Sent {
  sent: number
  /** Without the answer that they asked for, by what they had instead. */
  failed: Record<string, number>
}

const HOUR_MS = 3_600_000

/** Sends requests: a third is streamed, of which a tenth is cut off by the client; a twentieth is refused by the engine. */
export async function sendRequests(plan: Plan): Promise<Sent> {
  const agent = new Agent({ keepAlive: true, maxSockets: plan.together })
  const result: Sent = { sent: 0, failed: {} }
  const begun = performance.now()
  const worker = async () => {
    while (result.sent < plan.requests && !plan.isOver?.()) {
      const number = result.sent++
      const due = plan.rate ? (number / plan.rate) * 1000 - (performance.now() - begun) : 0
      if (due > 0) await sleep(due)
      await awayFromTheHour()
      const failure = await one(plan, number, agent)
      if (failure !== undefined) result.failed[failure] = (result.failed[failure] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: plan.together }, worker))
  agent.destroy()
  return result
}

/** Engine and gateway each read a clock: a request that begins in one hour and arrives in the next has no one hour. */
async function awayFromTheHour(): Promise<void> {
  const left = HOUR_MS - (Date.now() % HOUR_MS)
  if (left < 10_000) await sleep(left + 1_000)
}

/** Undefined: as it was meant. */
async function one(plan: Plan, number: number, agent: Agent): Promise<string | undefined> {
  const { random } = plan
  const of = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
  const holder = of(plan.holders)
  const [streamed, refused] = [random() < 1 / 3, random() < 1 / 20]
  const wish: Wish = {
    ...{ key: holder.key, prompt: 1 + Math.floor(random() * 500), completion: 2 + Math.floor(random() * 30) },
    ...{ cached: 1, refused },
  }
  if (streamed && !refused && random() < 1 / 10) wish.pausesAfter = wish.completion - 1
  const body = JSON.stringify({
    ...{ model: of(plan.models), stream: streamed },
    messages: [{ role: 'user', content: JSON.stringify(wish) }],
  })
  const url = plan.urls[number % plan.urls.length] ?? ''
  const status = await answered(`${url}/v1/chat/completions`, holder.token, body, wish.pausesAfter, agent)
  return status === (refused ? 400 : 200) ? undefined : String(status)
}

/** The status once the answer is whole, or once `cutAfter` events have arrived. */
function answered(
  url: string,
  token: string,
  body: string,
  cutAfter: number | undefined,
  agent: Agent,
): Promise<number | string> {
  const headers = {
    ...{ authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    // The same for every request, as a client may.
    ...{ 'x-request-id': 'always-the-same', 'content-length': Buffer.byteLength(body) },
  }
  return new Promise(resolve => {
    const sent = request(
      url,
      { method: 'POST', headers, agent: cutAfter === undefined ? agent : false, timeout: 60_000 },
      answer => {
        let text = ''
        answer.on('data', chunk => {
          if (cutAfter === undefined) return
          text += chunk
          if (text.split('\n\n').length <= cutAfter) return
          resolve(answer.statusCode ?? 0)
          sent.destroy()
        })
        answer.once('end', () => resolve(answer.statusCode ?? 0))
        answer.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
      },
    )
    sent.once('timeout', () => sent.destroy(new Error('no answer within 60 s')))
    sent.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
    sent.end(body)
  })
}
