import type { ChangeUpdate } from '../database/change-subscriber.ts'
import type { Database } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import { Rounds } from '../system/rounds.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import type { KeyStanding, TokenHolder } from './key-standing.ts'
import { readStandings } from './key-standing-repository.ts'

const MOST_A_QUERY = 500
const MOST_WAITING = 2_000
const MOST_REMEMBERED = 10_000
const BELIEVED_MS = 500
/** After a failure nobody waits for the next one: tokens pass meanwhile, as they do at a gateway that asks nobody. */
const NOT_ASKED_MS = 1_000

/**
 * How the keys of tokens stand. The directory knows of usable keys only, so the id of any other is looked up: one query
 * at a time. While Postgres is away a token is good, unless this replica saw its key or tenant go.
 */
export class KeyStandings {
  readonly #database: Database
  readonly #copy: DirectoryCopy
  readonly #clock: Clock
  readonly #wanted = new Map<string, PromiseWithResolvers<KeyStanding>>()
  readonly #lookups = new Rounds(() => this.#lookUp())
  readonly #answers = new Map<string, { standing: KeyStanding; until: number }>()
  /** Keys and tenants that a change named and the directory lost by it. Oldest first. */
  readonly #gone = new Set<string>()
  #notBefore = Number.NEGATIVE_INFINITY

  constructor(options: { database: Database; copy: DirectoryCopy; clock: Clock }) {
    this.#database = options.database
    this.#copy = options.copy
    this.#clock = options.clock
  }

  /** @throws {Unavailable} when there is no room to wait. */
  async of(holder: TokenHolder): Promise<KeyStanding> {
    const known = this.#copy.standing(holder.keyId)
    if (known) return known
    const now = this.#clock.monotonicMs()
    const answer = this.#answers.get(holder.keyId)
    if (answer && answer.until > now) return answer.standing
    if (now < this.#notBefore) return this.#whileAway(holder)
    try {
      return await this.#ask(holder.keyId)
    } catch (error) {
      if (error instanceof Crowded) throw error
      return this.#whileAway(holder)
    }
  }

  /** What was applied to the directory, or forgotten there, may have changed how a key stands. */
  note(update: ChangeUpdate): void {
    this.#answers.clear()
    if (update === 'everything') this.#gone.clear()
    for (const { kind, id } of update === 'everything' ? [] : update) {
      if (kind !== 'key' && kind !== 'tenant') continue
      const name = `${kind} ${id}`
      this.#gone.delete(name)
      if (this.#copy.lacks(kind, id)) this.#gone.add(name)
    }
    trim(this.#gone)
  }

  #whileAway({ keyId, tenantId }: TokenHolder): KeyStanding {
    return this.#gone.has(`key ${keyId}`) || this.#gone.has(`tenant ${tenantId}`) ? 'revoked' : 'good'
  }

  #ask(keyId: string): Promise<KeyStanding> {
    const asked = this.#wanted.get(keyId)
    if (asked) return asked.promise
    if (this.#wanted.size >= MOST_WAITING) throw new Crowded('Too many unknown keys are waiting. Try again.')
    const question = Promise.withResolvers<KeyStanding>()
    this.#wanted.set(keyId, question)
    this.#lookups.next().catch(() => {})
    return question.promise
  }

  /** Its failure is told to those who wait. */
  async #lookUp(): Promise<void> {
    while (this.#wanted.size > 0) {
      const batch = [...this.#wanted].slice(0, MOST_A_QUERY)
      for (const [keyId] of batch) this.#wanted.delete(keyId)
      const until = this.#clock.monotonicMs() + BELIEVED_MS
      try {
        const ids = batch.map(([keyId]) => keyId)
        const found = await this.#database.read(db => readStandings(db, ids))
        for (const [keyId, question] of batch) {
          const standing = found.get(keyId) ?? 'revoked'
          this.#answers.set(keyId, { standing, until })
          if (standing === 'revoked') this.#gone.add(`key ${keyId}`)
          question.resolve(standing)
        }
        trim(this.#answers)
        trim(this.#gone)
      } catch (error) {
        this.#notBefore = this.#clock.monotonicMs() + NOT_ASKED_MS
        for (const [, question] of [...batch, ...this.#wanted]) question.reject(error)
        this.#wanted.clear()
      }
    }
  }
}

class Crowded extends Unavailable {}

function trim(remembered: Map<string, unknown> | Set<string>): void {
  for (const oldest of remembered.keys()) {
    if (remembered.size <= MOST_REMEMBERED) return
    remembered.delete(oldest)
  }
}
