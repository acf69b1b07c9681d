import { setTimeout as sleep } from 'node:timers/promises'
import { TENANT } from '../faults/environment/known-keys.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { until } from '../support/until.ts'

const RECORDS = 20
const EVERY_MS = 200
const PATIENCE_MS = 60_000

/**
 * What a gateway reports while replicas of both builds are behind its address: a report that is not accepted is sent again, and every
 * third one is sent twice. Replicas that receive no reports are left out.
 */
export class Reports {
  /** Reports that were rejected, which a gateway does not send again. */
  #rejected = 0
  /** Requests that were reported, each with an id of its own. */
  #sent = 0
  readonly #replicas: () => readonly Replica[]
  readonly #key: string
  #count = 0
  #secret = ''
  #isOver = false
  #running: Promise<void> | undefined

  /** `key`: of the tenant of the known keys. */
  constructor(replicas: () => readonly Replica[], key: string) {
    this.#replicas = replicas
    this.#key = key
  }

  /** From now on with this secret. */
  use(secret: string): void {
    this.#secret = secret
    this.#running ??= this.#run()
  }

  async stop(): Promise<{ sent: number; rejected: number }> {
    this.#isOver = true
    await this.#running
    return { sent: this.#sent, rejected: this.#rejected }
  }

  /** The status of a report without records. A replica learns of a new secret from the feed, so `expected` may take a moment. */
  static statusOf(replica: Replica, secret: string, expected: number): Promise<number> {
    const ask = () => post(replica, secret, [])
    return until('a secret is known', ask, status => status === expected, PATIENCE_MS).catch(ask)
  }

  async #run(): Promise<void> {
    for (; !this.#isOver; await sleep(EVERY_MS)) {
      if (receivers(this.#replicas()).length === 0) continue
      const ids = Array.from({ length: RECORDS }, () => `drill-${this.#count++}`)
      const times = this.#count % (3 * RECORDS) === 0 ? 2 : 1
      for (let time = 0; time < times; time++) await this.#deliver(ids)
      this.#sent += RECORDS
    }
  }

  async #deliver(ids: readonly string[]): Promise<void> {
    const records = ids.map(id => recordOf(id, this.#key))
    for (let turn = 0; turn * EVERY_MS < PATIENCE_MS; turn++) {
      const open = receivers(this.#replicas())
      const replica = open[(this.#count + turn) % open.length]
      const status = replica ? await post(replica, this.#secret, records) : 0
      if (status === 200) return
      if (status !== 0 && status !== 429 && status !== 503) this.#rejected++
      await sleep(EVERY_MS)
    }
  }
}

const receivers = (replicas: readonly Replica[]) => replicas.filter(({ urls }) => urls.otlpHttp !== undefined)

/** 0: no answer. */
async function post({ urls }: Replica, secret: string, logRecords: readonly object[]): Promise<number> {
  try {
    const { status } = await fetch(`${urls.otlpHttp}/v1/logs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] }),
    })
    return status
  } catch {
    return 0
  }
}

const recordOf = (id: string, key: string) => ({
  timeUnixNano: `${Date.now()}000000`,
  attributes: Object.entries({
    'mintmark.request.id': id,
    'mintmark.tenant': TENANT,
    'mintmark.key': key,
    'mintmark.audience': 'vllm',
    'mintmark.outcome': 'completed',
    'gen_ai.usage.output_tokens': '7',
  }).map(([name, stringValue]) => ({ key: name, value: { stringValue } })),
})
