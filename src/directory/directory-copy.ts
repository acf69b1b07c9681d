import type { Imports } from '../api-keys/imported/imported-client.ts'
import type { SecretProof } from '../api-keys/imported/secret-proof.ts'
import type { Change } from '../database/change.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { ModelFacts } from '../tenants/model.ts'
import { adoptedIndex } from './adopted-index.ts'
import type { SecretSnapshot } from './directory.ts'
import { keyDifferences } from './directory-difference.ts'
import type { DirectoryIndex } from './directory-index.ts'
import { DirectoryLoad } from './directory-load.ts'
import { readUpdate } from './directory-repository.ts'
import type { KeyStatus } from './key-status.ts'
import type { KnownContents, KnownKey, KnownSecret } from './known-key.ts'
import type { LookupName } from './lookup-names.ts'

/**
 * This replica's copy of the directory. It changes only by the change feed and by full loads; looked-up keys and
 * replaced digests are added to it. Once loaded it is never empty.
 */
export class DirectoryCopy implements ChangeSubscriber {
  readonly kinds = ['key', 'tenant', 'tier', 'model'] as const
  readonly #database: Database
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #limits: {
    maxKeys: number
    tokenTtlSeconds: number
    stalenessSeconds: number
    lookupName: LookupName
  }
  readonly #seals: RowSeals
  readonly #staleness: () => number
  readonly #isExtended: () => boolean
  /** The index that exchanges are answered from. */
  #index: DirectoryIndex | undefined
  /** A full load that is in progress or not applied yet. */
  #load: DirectoryLoad | undefined

  /**
   * `staleness`: seconds since this copy was last known to be up to date. `isExtended`: an operator extended the time for
   * which it may be used. A limit of the tenant's own stays.
   */
  constructor(options: {
    database: Database
    clock: Clock
    logger: Logger
    seals: RowSeals
    maxKeys: number
    tokenTtlSeconds: number
    stalenessSeconds: number
    lookupName: LookupName
    staleness: () => number
    isExtended: () => boolean
  }) {
    const { database, clock, logger, seals, staleness, isExtended, ...limits } = options
    this.#database = database
    this.#clock = clock
    this.#logger = logger
    this.#seals = seals
    this.#staleness = staleness
    this.#isExtended = isExtended
    this.#limits = limits
  }

  /** Number of keys in memory. */
  get size(): number {
    return this.#index?.size ?? 0
  }

  /** More keys exist than fit: some are found in Postgres only. */
  get overflowed(): boolean {
    return this.#index?.overflowed ?? false
  }

  get imports(): Imports | undefined {
    return this.#index?.imports
  }

  /** The secret with one of these digests in base64; undefined when unknown, or staler than its tenant allows. */
  find(digests: readonly string[]): SecretSnapshot | undefined {
    for (const digest of digests) {
      const known = this.#index?.find(digest)
      if (!known) continue
      return this.#isFresh(known.stalenessSeconds) ? known.snapshot : undefined
    }
    return undefined
  }

  /** The name of the imported secret with this SHA-256, in hex, that needs no client_id. */
  nameOfHash(sha256: string): string | undefined {
    return this.#index?.lookups.digestOf(sha256)
  }

  /** Number of imported secrets that need no client_id. */
  get lookups(): number {
    return this.#index?.lookups.size ?? 0
  }

  /** Imported secrets that this process cannot verify were left out. */
  get lacksImported(): boolean {
    return this.#index?.lookups.isIncomplete ?? false
  }

  /** All that it holds; undefined until it is loaded. */
  get contents(): KnownContents | undefined {
    return this.#index?.contents
  }

  /** Serves these contents, before the first load. */
  adopt(contents: KnownContents): void {
    this.#index = adoptedIndex(contents, this.#limits)
  }

  /** All that an exchange needs of a key that is kept elsewhere; undefined: staler than its tenant allows. */
  complete(key: KnownKey, secret: KnownSecret): SecretSnapshot | undefined {
    const known = this.#index?.complete(key, secret)
    return known && this.#isFresh(known.stalenessSeconds) ? known.snapshot : undefined
  }

  #isFresh(stalenessSeconds: number | null): boolean {
    const policy = this.#isExtended() ? Number.POSITIVE_INFINITY : this.#limits.stalenessSeconds
    return this.#staleness() < Math.min(policy, stalenessSeconds ?? policy)
  }

  /** Whether the secret is in memory, however stale. */
  knows(digests: readonly string[]): boolean {
    return digests.some(digest => this.#index?.knows(digest) === true)
  }

  knowsKey(keyId: string): boolean {
    return this.#index?.has(keyId) === true
  }

  /** The status of a key in memory, however stale; undefined: unknown. */
  keyStatus(keyId: string): KeyStatus | undefined {
    return this.#index?.keyStatus(keyId)
  }

  /** The same of a key that is kept elsewhere. */
  statusOf(key: KnownKey, revoked: boolean): KeyStatus | undefined {
    return this.#index?.statusOf(key, revoked)
  }

  /** What is known of a model or adapter; undefined: nothing. */
  factsOf(model: string): ModelFacts | undefined {
    return this.#index?.modelFacts.get(model)
  }

  /** True when the directory is complete and does not contain the object. */
  lacks(kind: 'key' | 'tenant', id: string): boolean {
    const index = this.#index
    if (!index) return false
    return kind === 'tenant' ? !index.hasTenant(id) : !index.overflowed && !index.has(id)
  }

  /** Adds a key that was looked up and has not changed since, if it fits. */
  remember(key: KnownKey): void {
    if (this.#index?.has(key.id) === false) this.#index.put(key)
  }

  /** Replaces the digest of a secret, as happened in the database; such changes are not in the feed. In base64. */
  redigest(from: string, to: string): void {
    this.#index?.redigest(from, to)
  }

  /** Adds the proof of an imported secret, by its name; such changes are not in the feed. */
  prove(name: string, hash: string, proof: SecretProof): void {
    this.#index?.prove(name, hash, proof)
  }

  /** Removes the keys of imported secrets that are not genuine any more, by their ids and their names. */
  removeImported(idsAndNames: ReadonlySet<string>): void {
    if (idsAndNames.size === 0) return
    this.#index?.removeImported(idsAndNames)
    this.#load?.index.removeImported(idsAndNames)
  }

  /** Removes keys and secrets that ended by `now`, in epoch milliseconds. */
  removeEnded(now: number): void {
    this.#index?.removeEnded(now)
  }

  /** `ChangeSubscriber.load`. The current index stays in use until the new one replaces it. */
  async load(signal: AbortSignal): Promise<Apply> {
    const serving = this.#index !== undefined
    const load = new DirectoryLoad(this.#database, { ...this.#limits, seals: this.#seals, serving })
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
    const update = await readUpdate(trx, this.#seals, changes, this.#limits.tokenTtlSeconds)
    return () => {
      this.#index?.apply(update)
      this.#load?.apply(update)
    }
  }

  /** `ChangeSubscriber.forget`. */
  forget(changes: readonly Change[]): void {
    for (const change of changes) this.#index?.forget(change)
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
