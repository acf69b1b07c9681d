import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../support/until.ts'
import { now } from './environment.ts'
import { TENANT } from './known-keys.ts'
import { type Sample, Samples } from './load.ts'
import type { Answer, Replica } from './replica.ts'

const APPLIED_AFTER_MS = 15_000

interface Entry {
  keyId: string
  secret: string
  /** `asked`: the result was not acknowledged. */
  revoked: 'no' | 'asked' | 'yes'
}

/**
 * Records acknowledged changes, outside of the systems under fault. Creates keys, revokes every other one, and records
 * the responses; afterwards every acknowledged change must exist.
 */
export class Ledger {
  readonly #replica: Replica
  readonly #perSecond: number
  readonly entries: Entry[] = []
  readonly #answers: Sample[] = []
  #running: Promise<void> | undefined
  #stopped = false

  constructor(replica: Replica, options: { perSecond: number }) {
    this.#replica = replica
    this.#perSecond = options.perSecond
  }

  start(): void {
    this.#running = this.#write()
  }

  /** The responses of the admin API. */
  async stop(): Promise<Samples> {
    this.#stopped = true
    await this.#running
    return new Samples(this.#answers)
  }

  /** Acknowledged changes. */
  get acknowledged(): number {
    return this.entries.length + this.entries.filter(({ revoked }) => revoked === 'yes').length
  }

  /**
   * Acknowledged changes that this replica does not apply, not even after a while: it may not have read the last of them
   * yet, and answers 503 where Postgres is slow.
   */
  async lost(replica: Replica): Promise<Entry[]> {
    const deadline = now() + APPLIED_AFTER_MS
    const lost: Entry[] = []
    for (const entry of this.entries) {
      const right = { no: [200], asked: [200, 401], yes: [401] }[entry.revoked]
      const isRight = ({ status }: Answer) => right.includes(status)
      const exchange = () => replica.exchange(entry.secret)
      await until('it is applied', exchange, isRight, deadline - now()).catch(() => lost.push(entry))
    }
    return lost
  }

  async #write(): Promise<void> {
    for (let count = 0; !this.#stopped; count++) {
      const last = this.entries.at(-1)
      if (count % 2 === 1 && last?.revoked === 'no') await this.#revoke(last)
      else await this.#make()
      await sleep(1000 / this.#perSecond)
    }
  }

  async #make(): Promise<void> {
    const { status, body } = await this.#note('POST', `/tenants/${TENANT}/keys`, {})
    if (status === 201) this.entries.push({ keyId: body.id, secret: body.secret, revoked: 'no' })
  }

  async #revoke(entry: Entry): Promise<void> {
    entry.revoked = 'asked'
    const { status } = await this.#note('POST', `/keys/${entry.keyId}/revoke`, {})
    if (status === 200) entry.revoked = 'yes'
  }

  async #note(method: string, path: string, body: object): Promise<Answer> {
    const at = now()
    const answer = await this.#replica.admin(method, path, body)
    const { ms, status, headers } = answer
    this.#answers.push({ at, ms, status, retryAfter: headers['retry-after'] !== undefined })
    return answer
  }
}
