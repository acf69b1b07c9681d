import { setTimeout as sleep } from 'node:timers/promises'
import type { Key } from '../faults/environment/known-keys.ts'
import type { Replica } from '../faults/environment/replica.ts'

/** Of each replica, between two rounds. */
const PAUSE_MS = 250

/** What ended before the outage. */
export interface Ended {
  /** API keys that are revoked, disabled, rotated, of a suspended tenant or of a deleted one. */
  keys: readonly Key[]
  /** Tokens of such keys, and one that was revoked itself. */
  tokens: readonly string[]
  /** A revoked admin token. */
  adminToken: string
}

const asBearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** Tries all that ended at each replica that runs, until it is stopped. A connection that breaks has no result. */
export class RefusalProbe {
  readonly #ended: Ended
  readonly #replicas: () => readonly Replica[]
  readonly #running: Promise<void>
  #stopped = false
  /** Requests with a response. */
  answered = 0
  /** What was accepted, with the replica's address. */
  readonly accepted: string[] = []

  constructor(ended: Ended, replicas: () => readonly Replica[]) {
    this.#ended = ended
    this.#replicas = replicas
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await Promise.all(this.#replicas().map(replica => this.#tryAll(replica)))
      await sleep(PAUSE_MS)
    }
  }

  async #tryAll(replica: Replica): Promise<void> {
    const { keys, tokens, adminToken } = this.#ended
    const { exchange, get, urls } = replica
    const tried = [
      ...keys.map(async ({ id, secret }) => ({ what: id, answer: await exchange(secret) })),
      ...tokens.map(async (token, index) => ({
        what: `token ${index}`,
        answer: await get(`${urls.gateway}/check/v1/models`, asBearer(token)),
      })),
      get(`${urls.admin}/admin/v1/tenants`, asBearer(adminToken)).then(answer => ({
        what: 'admin token',
        answer,
      })),
    ]
    for (const { what, answer } of await Promise.all(tried)) {
      if (answer.status !== 0) this.answered++
      if (answer.status === 200) this.accepted.push(`${what} at ${urls.public}`)
    }
  }
}

/** Statuses of everything that ended, at one replica. */
export async function refusalStatuses(replica: Replica, { keys, tokens }: Ended): Promise<number[]> {
  const { exchange, get, urls } = replica
  const answers = await Promise.all([
    ...keys.map(({ secret }) => exchange(secret)),
    ...tokens.map(token => get(`${urls.gateway}/check/v1/models`, asBearer(token))),
  ])
  return answers.map(({ status }) => status)
}
