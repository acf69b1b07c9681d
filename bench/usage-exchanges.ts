import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { exchangeForm, FORM_HEADERS } from '../test/faults/environment/replica.ts'

/** Of bench/usage-with-exchanges.ts, in a process of its own: exchanges at a steady rate. */
export interface UsageExchanges {
  url: string
  secrets: string[]
  /** A second. */
  rate: number
  seconds: number
}
export interface UsageExchangesResult {
  failed: number
  /** Of each exchange in milliseconds, from the moment at which it was due. */
  ms: number[]
}

const CONNECTIONS = 32

process.on('message', async (load: UsageExchanges) => process.send?.(await exchangeAll(load)))

async function exchangeAll({ url, secrets, rate, seconds }: UsageExchanges): Promise<UsageExchangesResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const result: UsageExchangesResult = { failed: 0, ms: [] }
  const begun = performance.now()
  const underWay = new Set<Promise<void>>()
  for (let number = 0; number < rate * seconds; number++) {
    const due = begun + (number * 1000) / rate
    const early = due - performance.now()
    if (early > 0) await sleep(early)
    const one = exchange(agent, url, secrets[number % secrets.length] as string).then(status => {
      result.ms.push(performance.now() - due)
      if (status !== 200) result.failed++
    })
    underWay.add(one)
    void one.finally(() => underWay.delete(one))
  }
  await Promise.all(underWay)
  agent.destroy()
  return result
}

function exchange(agent: Agent, url: string, secret: string): Promise<number> {
  const body = exchangeForm(secret)
  const headers = { ...FORM_HEADERS, 'content-length': Buffer.byteLength(body) }
  return new Promise(resolve => {
    const sent = request(url, { method: 'POST', headers, agent }, answer => {
      answer.resume()
      answer.once('end', () => resolve(answer.statusCode ?? 0))
    })
    sent.once('error', () => resolve(0))
    sent.end(body)
  })
}
