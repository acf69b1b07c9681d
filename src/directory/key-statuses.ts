import { LRUCache } from 'lru-cache'
import type { ChangeUpdate } from '../database/change-subscriber.ts'
import type { Database } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import { Coalescer } from '../system/coalescer.ts'
import type { Tombstones } from '../tombstones/tombstones.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import type { Identities } from './identities.ts'
import type { KeyStatus, TokenHolder } from './key-status.ts'
import { readKeyStatuses } from './key-status-repository.ts'
import { statusByTombstones } from './with-tombstones.ts'

const MOST_A_QUERY = 500
const MOST_WAITING = 2_000
const MOST_REMEMBERED = 10_000
const CACHED_MS = 500
/** After a failure lookups pause and tokens pass, as at a gateway that does not call the check. */
const LOOKUP_PAUSE_MS = 1_000

/**
 * The status of the keys of presented tokens. The directory holds usable keys only; other ids are looked up, one query
 * at a time. While Postgres is down a token counts as good, unless this replica saw its key or tenant being removed.
 */
export class KeyStatuses {
  readonly #database: Database
  readonly #copy: DirectoryCopy
  readonly #identities: Identities
  readonly #clock: Clock
  readonly #tombstones: Tombstones
  readonly #queued = new Map<string, PromiseWithResolvers<KeyStatus>>()
  readonly #lookups = new Coalescer(() => this.#lookUp())
  readonly #answers: LRUCache<string, KeyStatus>
  /** Keys and tenants that a change removed from the directory. Least recently used entries are evicted. */
  readonly #gone = new LRUCache<string, true>({ max: MOST_REMEMBERED })
  #notBefore = Number.NEGATIVE_INFINITY

  constructor(options: {
    database: Database
    copy: DirectoryCopy
    identities: Identities
    clock: Clock
    tombstones: Tombstones
  }) {
    this.#database = options.database
    this.#copy = options.copy
    this.#identities = options.identities
    this.#clock = options.clock
    this.#tombstones = options.tombstones
    const perf = { now: () => this.#clock.monotonicMs() }
    this.#answers = new LRUCache({ max: MOST_REMEMBERED, ttl: CACHED_MS, ttlResolution: 0, perf })
  }

  /** @throws {Unavailable} when the queue is full. */
  async of(holder: TokenHolder): Promise<KeyStatus> {
    const ended = statusByTombstones(holder, this.#tombstones)
    if (ended !== 'good') return ended
    const known = this.#copy.keyStatus(holder.keyId) ?? this.#identities.keyStatus(holder.keyId)
    if (known) return known
    const answer = this.#answers.get(holder.keyId)
    if (answer) return answer
    if (this.#clock.monotonicMs() < this.#notBefore) return this.#withoutDatabase(holder)
    try {
      return await this.#enqueue(holder.keyId)
    } catch (error) {
      if (error instanceof QueueFull) throw error
      return this.#withoutDatabase(holder)
    }
  }

  /** Notes an update of the directory: the status of a key may have changed. */
  note(update: ChangeUpdate): void {
    this.#answers.clear()
    if (update === 'everything') this.#gone.clear()
    for (const { kind, id } of update === 'everything' ? [] : update) {
      if (kind !== 'key' && kind !== 'tenant') continue
      const name = `${kind} ${id}`
      this.#gone.delete(name)
      // The directory has no keys without a secret.
      if (kind === 'key' && this.#identities.keyStatus(id)) continue
      if (this.#copy.lacks(kind, id)) this.#gone.set(name, true)
    }
  }

  /** Keys and tenants that were removed, as `key <id>` and `tenant <id>`, for `adopt`. */
  get gone(): string[] {
    return [...this.#gone.keys()]
  }

  /** Another process of this installation saw them being removed. */
  adopt(gone: readonly string[]): void {
    for (const name of gone) this.#gone.set(name, true)
  }

  #withoutDatabase({ keyId, tenantId }: TokenHolder): KeyStatus {
    return this.#gone.get(`key ${keyId}`) || this.#gone.get(`tenant ${tenantId}`) ? 'revoked' : 'good'
  }

  #enqueue(keyId: string): Promise<KeyStatus> {
    const queued = this.#queued.get(keyId)
    if (queued) return queued.promise
    if (this.#queued.size >= MOST_WAITING)
      throw new QueueFull('Too many lookups of unknown keys are waiting. Retry.')
    const result = Promise.withResolvers<KeyStatus>()
    this.#queued.set(keyId, result)
    this.#lookups.run().catch(() => {})
    return result.promise
  }

  /** A failure rejects the waiting requests. */
  async #lookUp(): Promise<void> {
    while (this.#queued.size > 0) {
      const batch = [...this.#queued].slice(0, MOST_A_QUERY)
      for (const [keyId] of batch) this.#queued.delete(keyId)
      const start = this.#clock.monotonicMs()
      try {
        const ids = batch.map(([keyId]) => keyId)
        const found = await this.#database.run(db => readKeyStatuses(db, ids))
        for (const [keyId, result] of batch) {
          const status = found.get(keyId) ?? 'revoked'
          this.#answers.set(keyId, status, { start })
          if (status === 'revoked') this.#gone.set(`key ${keyId}`, true)
          result.resolve(status)
        }
      } catch (error) {
        this.#notBefore = this.#clock.monotonicMs() + LOOKUP_PAUSE_MS
        for (const [, result] of [...batch, ...this.#queued]) result.reject(error)
        this.#queued.clear()
      }
    }
  }
}

class QueueFull extends Unavailable {}
