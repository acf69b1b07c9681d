import type { Imports } from '../api-keys/imported-client.ts'
import type { Change } from '../database/change.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { SecretSnapshot } from './directory.ts'
import { keyDifferences } from './directory-difference.ts'
import type { DirectoryIndex, KnownKey } from './directory-index.ts'
import { DirectoryLoad } from './directory-load.ts'
import { readUpdate } from './directory-repository.ts'
import type { KeyStatus } from './key-status.ts'

/**
 * This replica's copy of the directory. It changes only by what the change feed brings, and when a full load takes its
 * place; what was looked up or re-digested since is added to it. It is never empty once it was loaded.
 */
export class DirectoryCopy implements ChangeSubscriber {
  readonly kinds = ['key', 'tenant', 'tier', 'model'] as const
  readonly #database: Database
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #limits: { maxKeys: number; tokenTtlSeconds: number; stalenessSeconds: number }
  readonly #staleness: () => number
  /** Exchanges are answered from it. */
  #index: DirectoryIndex | undefined
  /** The full load that is under way, or not in effect yet. */
  #load: DirectoryLoad | undefined

  /** `staleness`: seconds since this copy was last known to be complete. */
  constructor(options: {
    database: Database
    clock: Clock
    logger: Logger
    maxKeys: number
    tokenTtlSeconds: number
    stalenessSeconds: number
    staleness: () => number
  }) {
    const { database, clock, logger, staleness, ...limits } = options
    this.#database = database
    this.#clock = clock
    this.#logger = logger
    this.#staleness = staleness
    this.#limits = limits
  }

  /** Keys that are known. */
  get size(): number {
    return this.#index?.size ?? 0
  }

  /** There were more keys than there is room for: some are found in Postgres only. */
  get overflowed(): boolean {
    return this.#index?.overflowed ?? false
  }

  get imports(): Imports | undefined {
    return this.#index?.imports
  }

  /** What is known of the secret, by digests in base64; nothing when that is from too long ago for its tenant. */
  find(digests: readonly string[]): SecretSnapshot | undefined {
    for (const digest of digests) {
      const known = this.#index?.find(digest)
      if (!known) continue
      const policy = this.#limits.stalenessSeconds
      const limit = Math.min(policy, known.stalenessSeconds ?? policy)
      return this.#staleness() < limit ? known.snapshot : undefined
    }
    return undefined
  }

  /** Whether the secret is known, from however long ago. */
  knows(digests: readonly string[]): boolean {
    return digests.some(digest => this.#index?.knows(digest) === true)
  }

  knowsKey(keyId: string): boolean {
    return this.#index?.has(keyId) === true
  }

  /** How a key stands that is known; undefined: it is not. However long ago that was seen. */
  keyStatus(keyId: string): KeyStatus | undefined {
    return this.#index?.keyStatus(keyId)
  }

  /** It is not in the directory, and not for want of room. */
  lacks(kind: 'key' | 'tenant', id: string): boolean {
    const index = this.#index
    if (!index) return false
    return kind === 'tenant' ? !index.hasTenant(id) : !index.overflowed && !index.has(id)
  }

  /** A key that was looked up at a moment since which nothing about it has changed: known from now on, if there is room. */
  remember(key: KnownKey): void {
    if (this.#index?.has(key.id) === false) this.#index.put(key)
  }

  /** The digest of a secret was replaced in the database, which is not in the feed. In base64. */
  redigest(from: string, to: string): void {
    this.#index?.redigest(from, to)
  }

  /** Removes what has ended by `now`, in epoch milliseconds. */
  removeEnded(now: number): void {
    this.#index?.removeEnded(now)
  }

  /** `ChangeSubscriber.load`. The index that serves stays as it is until the new one takes its place. */
  async load(signal: AbortSignal): Promise<Apply> {
    const load = new DirectoryLoad(this.#database, { ...this.#limits, serving: this.#index !== undefined })
    this.#load = load
    try {
      await load.run(signal)
    } catch (error) {
      this.#load = undefined
      throw error
    }
    return () => {
      this.#load = undefined
      this.#replace(load.index)
    }
  }

  /** `ChangeSubscriber.read`. */
  async read(trx: Handle, changes: readonly Change[]): Promise<Apply> {
    const update = await readUpdate(trx, changes, this.#limits.tokenTtlSeconds)
    return () => {
      this.#index?.apply(update)
      this.#load?.apply(update)
    }
  }

  /** `ChangeSubscriber.forget`. */
  forget(changes: readonly Change[]): void {
    for (const { kind, id } of changes) {
      if (kind === 'key') this.#index?.remove(id)
      if (kind === 'tenant') this.#index?.removeTenant(id)
    }
  }

  #replace(index: DirectoryIndex): void {
    const before = this.#index
    this.#index = index
    if (index.overflowed) {
      const { maxKeys } = this.#limits
      this.#logger.warn(
        { maxKeys },
        'more API keys than MINTMARK_DIRECTORY_MAX_KEYS: the least recently used ones need the database at each exchange',
      )
    }
    if (before) void this.#logDifferences(before, index)
  }

  async #logDifferences(before: DirectoryIndex, after: DirectoryIndex): Promise<void> {
    const differences = await keyDifferences(before, after, this.#clock)
    this.#logger.warn(differences, 'directory reloaded')
  }
}
