import type { ChangeFollower } from '../database/change-follower.ts'
import type { ChangeUpdate } from '../database/change-subscriber.ts'
import type { Database } from '../database/database.ts'
import { Busy, Unavailable } from '../errors.ts'
import { checksOf, type SecretChecks } from '../installation/installation-secrets.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { Clock } from '../system/clock.ts'
import type { NamedKey } from '../system/secret.ts'
import { withTimeout } from '../system/timeout.ts'
import { ChangedObjects } from './changed-objects.ts'
import { isRevoked, type SecretSnapshot } from './directory.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import { type LookedUp, lookUpSecrets } from './directory-repository.ts'
import { NegativeCache } from './negative-cache.ts'

const TICK_MS = 20
const MOST_A_QUERY = 500
const MOST_WAITING = 2_000
/** How much longer than one query a request waits, so that it is answered within a second. */
const MARGIN_MS = 50
/** A slower result is used only after a poll has shown the changes committed during the query. */
const SLOW_ANSWER_MS = 200
const MOST_TRIES = 3

/** One secret that is being looked up, for any number of requests. */
interface Query {
  digests: readonly string[]
  result: Promise<SecretSnapshot | undefined>
  resolve(snapshot: SecretSnapshot | undefined): void
  reject(error: unknown): void
  tries: number
}

/** Number of lookups by outcome since the start. */
export interface FallbackCounts {
  queries: number
  found: number
  unknown: number
  /** Answered from memory: unknown a moment ago. */
  cached: number
  /** The queue was full, the lookup timed out, or the database was unavailable. */
  failed: number
}

/**
 * Looks up in Postgres what the directory does not know: a key created a moment ago by another replica, a key beyond
 * the directory's size limit, or an unknown one. One query runs at a time, for all waiting requests, at least 20 ms
 * after the one before.
 */
export class SecretLookup {
  readonly #database: Database
  readonly #follower: ChangeFollower
  readonly #copy: DirectoryCopy
  readonly #clock: Clock
  readonly #pepperChecks: SecretChecks
  readonly #seals: RowSeals
  readonly #tokenTtlSeconds: number
  readonly #stopped = new AbortController()
  /** Queries that have not been sent, by their digests. */
  readonly #queries = new Map<string, Query>()
  readonly #negatives: NegativeCache
  #waiting = 0
  #working = false
  #queriedAt = Number.NEGATIVE_INFINITY
  /** Directory updates since the running query began; undefined: no query is running. */
  #since: ChangeUpdate[] | undefined
  readonly counts: FallbackCounts = { queries: 0, found: 0, unknown: 0, cached: 0, failed: 0 }

  constructor(options: {
    database: Database
    follower: ChangeFollower
    copy: DirectoryCopy
    clock: Clock
    peppers: readonly NamedKey[]
    seals: RowSeals
    tokenTtlSeconds: number
  }) {
    this.#database = options.database
    this.#follower = options.follower
    this.#copy = options.copy
    this.#clock = options.clock
    this.#negatives = new NegativeCache(options.clock)
    this.#pepperChecks = checksOf(options.peppers)
    this.#seals = options.seals
    this.#tokenTtlSeconds = options.tokenTtlSeconds
  }

  /** The directory was updated: cached results are dropped. */
  note(update: ChangeUpdate): void {
    this.#negatives.clear()
    this.#since?.push(update)
  }

  /**
   * By digests in base64.
   * @throws {Unavailable} when the queue is full, the database does not answer in time, or this process lacks a pepper
   * that the key may be stored under: then the key is not unknown.
   */
  async find(digests: readonly string[]): Promise<SecretSnapshot | undefined> {
    const name = digests.join()
    const negative = this.#negatives.find(name)
    if (negative) {
      this.counts.cached++
      return negative.snapshot
    }
    try {
      if (!this.#follower.following) throw new Unavailable('The database does not answer. Retry.')
      return await this.#wait(name, digests)
    } catch (error) {
      this.counts.failed++
      throw error
    }
  }

  /** Number of waiting requests. */
  get waiting(): number {
    return this.#waiting
  }

  stop(): void {
    this.#stopped.abort()
    this.#failAll([...this.#queries.values()], new Unavailable('The service is stopping. Retry.'))
  }

  async #wait(name: string, digests: readonly string[]): Promise<SecretSnapshot | undefined> {
    if (this.#waiting >= MOST_WAITING) throw new Busy('Too many lookups of unknown keys are waiting. Retry.')
    const query = this.#queries.get(name) ?? newQuery(digests)
    this.#queries.set(name, query)
    if (!this.#working) void this.#work()
    this.#waiting++
    try {
      const answer = await withTimeout(this.#clock, this.#database.queryTimeoutMs + MARGIN_MS, query.result)
      if (answer === 'timed_out') throw new Unavailable('The lookup of the API key timed out. Retry.')
      return answer
    } finally {
      this.#waiting--
    }
  }

  /** Runs queries as long as any are waiting. */
  async #work(): Promise<void> {
    this.#working = true
    while (this.#queries.size > 0 && !this.#stopped.signal.aborted) {
      const rest = this.#queriedAt + TICK_MS - this.#clock.monotonicMs()
      if (rest > 0) await this.#clock.sleep(rest, this.#stopped.signal)
      await this.#runQuery(this.#takeBatch())
    }
    this.#working = false
  }

  #takeBatch(): Query[] {
    const batch: Query[] = []
    let digests = 0
    for (const [name, query] of this.#queries) {
      digests += query.digests.length
      if (digests > MOST_A_QUERY && batch.length > 0) break
      batch.push(query)
      this.#queries.delete(name)
    }
    return batch
  }

  async #runQuery(batch: readonly Query[]): Promise<void> {
    const since: ChangeUpdate[] = []
    this.#since = since
    this.#queriedAt = this.#clock.monotonicMs()
    this.counts.queries++
    const digests = batch.flatMap(query => query.digests)
    try {
      const { found, unverifiable, pepperChecks } = await this.#database.run(db =>
        lookUpSecrets(db, this.#seals, digests, this.#tokenTtlSeconds),
      )
      if (this.#clock.monotonicMs() - this.#queriedAt > SLOW_ANSWER_MS) await this.#follower.poll()
      const lacking = Object.keys(pepperChecks).filter(id => this.#pepperChecks[id] !== pepperChecks[id])
      const byDigest = new Map(found.map(each => [each.digest, each]))
      const changed = new ChangedObjects(since)
      for (const query of batch) {
        const digest = query.digests.find(each => byDigest.has(each))
        const hit = digest === undefined ? undefined : byDigest.get(digest)
        const unverified = query.digests.some(each => unverifiable.has(each))
        if (!hit) this.#resolveUnknown(query, unverified ? ['the key of its seal'] : lacking)
        else if (changed.affect(hit.snapshot)) this.#requeue(query)
        else this.#resolveFound(query, hit)
      }
    } catch (error) {
      // The next query would fail in the same way.
      this.#failAll([...batch, ...this.#queries.values()], error)
    } finally {
      this.#since = undefined
    }
  }

  #resolveFound(query: Query, { snapshot, key }: LookedUp): void {
    if (isRevoked(snapshot)) this.#noteNegative(query, snapshot)
    else if (key) this.#copy.remember(key)
    this.counts.found++
    query.resolve(snapshot)
  }

  #resolveUnknown(query: Query, lacking: readonly string[]): void {
    if (lacking.length === 0) {
      this.#noteNegative(query, undefined)
      this.counts.unknown++
      query.resolve(undefined)
      return
    }
    // A key stored under a pepper that only other replicas have is not unknown: this process is misconfigured.
    const cause = new Error(
      `this process lacks ${lacking.join(', ')}, which the installation record names: see MINTMARK_PEPPERS`,
    )
    query.reject(new Unavailable('This replica cannot check API keys. Retry.', { cause }))
  }

  /** The key changed while the query was running, and the result may be from before the change. */
  #requeue(query: Query): void {
    query.tries++
    if (query.tries >= MOST_TRIES) {
      query.reject(new Unavailable('The API key changed while it was read. Retry.'))
      return
    }
    const name = query.digests.join()
    const other = this.#queries.get(name)
    if (other) other.result.then(query.resolve, query.reject)
    else this.#queries.set(name, query)
  }

  #noteNegative(query: Query, snapshot: SecretSnapshot | undefined): void {
    if (!this.#since || this.#since.length > 0) return
    this.#negatives.note(query.digests.join(), snapshot)
  }

  #failAll(queries: readonly Query[], error: unknown): void {
    this.#queries.clear()
    for (const query of queries) query.reject(error)
  }
}

function newQuery(digests: readonly string[]): Query {
  const { promise, resolve, reject } = Promise.withResolvers<SecretSnapshot | undefined>()
  return { digests, result: promise, resolve, reject, tries: 0 }
}
