import { setTimeout as sleep } from 'node:timers/promises'
import { decodeProtectedHeader } from 'jose'
import type { Key } from '../faults/environment/known-keys.ts'
import type { Replica } from '../faults/environment/replica.ts'

const PAUSE_MS = 50

/** What was ended after the backup. */
export interface Dead {
  revoked: readonly Key[]
  suspended: readonly Key[]
  kid: string
}

/** Tries all that is dead at each replica, until it is stopped, and counts what must never happen. */
export class Probe {
  readonly #dead: Dead
  readonly #live: Key
  readonly #running: Promise<unknown>
  #stopped = false
  tries = 0
  /** Exchanges of dead keys that were answered with a token. */
  exchanged: string[] = []
  /** JWKS and tokens with the revoked signing key. */
  published = 0

  constructor(replicas: readonly Replica[], dead: Dead, live: Key) {
    this.#dead = dead
    this.#live = live
    this.#running = Promise.all(replicas.map(replica => this.#watch(replica)))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #watch(replica: Replica): Promise<void> {
    while (!this.#stopped) {
      await this.#tryAll(replica)
      await sleep(PAUSE_MS)
    }
  }

  async #tryAll(replica: Replica): Promise<void> {
    const { revoked, suspended, kid } = this.#dead
    const keys = [...revoked, ...suspended]
    const answers = await Promise.all(keys.map(({ secret }) => replica.exchange(secret)))
    this.tries += answers.length
    for (const [index, { status }] of answers.entries())
      if (status === 200) this.exchanged.push(keys[index]?.id ?? '')
    const { body } = await replica.exchange(this.#live.secret)
    if (body?.access_token && decodeProtectedHeader(body.access_token).kid === kid) this.published++
    const jwks = await replica.get(`${replica.urls.public}/.well-known/jwks.json`)
    if (jwks.status === 200 && jwks.text.includes(kid)) this.published++
  }
}
