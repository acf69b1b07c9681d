import type { Imports } from '../api-keys/imported-client.ts'
import type { Change } from '../database/change.ts'
import { feedEnd, samePosition } from '../database/change-feed.ts'
import type { Database } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import { inTime } from '../system/deadline.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { Rounds } from '../system/rounds.ts'
import type { Applied } from './applied.ts'
import type { SecretSnapshot } from './directory.ts'
import { keyDifferences } from './directory-difference.ts'
import type { KnownKey } from './directory-index.ts'
import { type Copy, loadCopy } from './directory-load.ts'
import { readNews } from './directory-repository.ts'
import type { KeyStanding } from './key-standing.ts'

/** Longer than this nobody who changed something waits to hear that it is applied here. */
const LONGEST_SETTLING_MS = 500
/** Replicas that lost their position at the same moment do not all read everything at the same moment. */
const RELOAD_JITTER_MS = 500

/**
 * Keeps this replica's directory as the database has it: reads it once, then follows the change feed. A copy of the
 * directory is only ever changed by a poll, polls run one at a time, and each applies all that changed since the last
 * one as of one moment (in pieces only after a long absence); so the directory is a state that the database was in.
 */
export class Follower {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #limits: { maxKeys: number; tokenTtlSeconds: number; stalenessSeconds: number }
  readonly #observers: ((applied: Applied) => void)[] = []
  readonly #stopped = new AbortController()
  /** What exchanges are answered from. */
  #copy: Copy | undefined
  /** Read anew, and to take the place of `#copy` once it has caught up. */
  #loaded: Copy | undefined
  #loading: Promise<void> | undefined
  /** The position was lost: until everything has been read anew, something may have been missed. */
  #incomplete = false
  /** Monotonic milliseconds: whatever was committed before this instant is in the directory. */
  #seenUntil = Number.NEGATIVE_INFINITY
  readonly #polls = new Rounds(() => this.#poll())
  /** The number of the last change that there is, as of the last poll. */
  #end: string | undefined
  /** How often everything was read anew. */
  reloads = 0

  constructor(options: {
    database: Database
    clock: Clock
    random: Random
    logger: Logger
    maxKeys: number
    tokenTtlSeconds: number
    stalenessSeconds: number
  }) {
    const { database, clock, random, logger, ...limits } = options
    this.#database = database
    this.#clock = clock
    this.#random = random
    this.#logger = logger
    this.#limits = limits
  }

  /** Keys that are known. */
  get size(): number {
    return this.#copy?.index.size ?? 0
  }

  /** Seconds since the last completed poll; infinite before the first. */
  get stalenessSeconds(): number {
    return (this.#clock.monotonicMs() - this.#seenUntil) / 1000
  }

  /** The number of the last change that was applied. */
  get position(): string | undefined {
    return this.#copy?.position.number
  }

  /** Changes that the last poll saw and that are not applied yet. */
  get behind(): number {
    return Math.max(0, Number(this.#end ?? 0) - Number(this.position ?? 0))
  }

  /** There were more keys than there is room for: some are found in Postgres only. */
  get overflowed(): boolean {
    return this.#copy?.index.overflowed ?? false
  }

  /** `hear` is told of everything that is applied, right after it is. */
  observe(hear: (applied: Applied) => void): void {
    this.#observers.push(hear)
  }

  /** What is known of the secret, by digests in base64; nothing when that is from too long ago for its tenant. */
  find(digests: readonly string[]): SecretSnapshot | undefined {
    for (const digest of digests) {
      const known = this.#copy?.index.find(digest)
      if (!known) continue
      const policy = this.#limits.stalenessSeconds
      const limit = Math.min(policy, known.stalenessSeconds ?? policy)
      return this.stalenessSeconds < limit ? known.snapshot : undefined
    }
    return undefined
  }

  /** Whether the secret is known, from however long ago. */
  knows(digests: readonly string[]): boolean {
    return digests.some(digest => this.#copy?.index.knows(digest) === true)
  }

  knowsKey(keyId: string): boolean {
    return this.#copy?.index.has(keyId) === true
  }

  /** How a key stands that is known; undefined: it is not. However long ago that was seen. */
  standing(keyId: string): KeyStanding | undefined {
    return this.#copy?.index.standing(keyId)
  }

  /** It is not in the directory, and not for want of room. */
  lacks(kind: 'key' | 'tenant', id: string): boolean {
    const index = this.#copy?.index
    if (!index) return false
    return kind === 'tenant' ? !index.hasTenant(id) : !index.overflowed && !index.has(id)
  }

  /** The first full load. @throws {Unavailable} */
  async load(): Promise<void> {
    if (!this.#copy) this.#loaded = await this.#readAnew()
    await this.poll()
  }

  /** Completes with a poll that begins after this call: what was committed before it is in the directory then. */
  poll(): Promise<void> {
    return this.#polls.next()
  }

  /** There is something new: no need to wait for the next poll. */
  wake(): void {
    this.poll().catch(() => {})
  }

  /**
   * Returns when what this process committed holds here. Where that cannot be seen to in time, the objects are
   * forgotten until a poll brings them back, so that nothing is granted that was taken away. Never throws.
   */
  async settle(changes: readonly Change[]): Promise<void> {
    if (!this.#copy) return
    const polled = this.poll().then(
      () => !this.#incomplete,
      () => false,
    )
    if ((await inTime(this.#clock, LONGEST_SETTLING_MS, polled)) === true) return
    for (const { kind, id } of changes) {
      if (kind === 'key') this.#copy.index.remove(id)
      if (kind === 'tenant') this.#copy.index.removeTenant(id)
    }
  }

  get imports(): Imports | undefined {
    return this.#copy?.index.imports
  }

  /** A key that was looked up at a moment since which nothing about it has changed: known from now on, if there is room. */
  remember(key: KnownKey): void {
    if (this.#copy?.index.has(key.id) === false) this.#copy.index.put(key)
  }

  /** The digest of a secret was replaced in the database, which the feed does not tell of. In base64. */
  redigest(from: string, to: string): void {
    this.#copy?.index.redigest(from, to)
  }

  /** Lets go what has ended by `now`, in epoch milliseconds. */
  removeEnded(now: number): void {
    this.#copy?.index.removeEnded(now)
  }

  stop(): void {
    this.#stopped.abort()
  }

  async #poll(): Promise<void> {
    const begun = this.#clock.monotonicMs()
    const copy = this.#loaded ?? this.#copy
    if (!copy) return
    if (await this.#catchUp(copy)) {
      if (copy === this.#loaded) this.#replace(copy)
    } else if (copy === this.#loaded) {
      this.#loaded = undefined
      if (!this.#copy) throw new Unavailable('The change feed was replaced while it was read. Try again.')
    } else await this.#loseTrack(copy)
    if (this.#incomplete) this.#loadAgain()
    else this.#seenUntil = begun
  }

  /** False when the position is lost. */
  async #catchUp(copy: Copy): Promise<boolean> {
    const { tokenTtlSeconds } = this.#limits
    for (;;) {
      const end = await this.#database.read(feedEnd)
      this.#end = end.number
      if (samePosition(end, copy.position)) return true
      const read = await this.#database.read(db => readNews(db, copy.position, tokenTtlSeconds))
      if (read === 'lost') return false
      copy.index.apply(read.news)
      copy.position = read.position
      if (copy === this.#copy) this.#tell(read.changes)
      if (!read.more) return true
    }
  }

  /** Exchanges go on with what is known, changes from now on are followed, and everything is read anew meanwhile. */
  async #loseTrack(copy: Copy): Promise<void> {
    this.#incomplete = true
    const { position } = copy
    copy.position = await this.#database.read(feedEnd)
    this.#logger.warn(
      { position, end: copy.position },
      'the change feed was replaced or pruned since this replica followed it: reading the directory anew',
    )
  }

  #loadAgain(): void {
    if (this.#loading || this.#loaded || this.#stopped.signal.aborted) return
    const load = async () => {
      await this.#clock.sleep(this.#random.integer(RELOAD_JITTER_MS), this.#stopped.signal)
      this.#loaded = await this.#readAnew()
      this.reloads++
    }
    this.#loading = load()
      .then(() => this.wake())
      .catch(err => this.#logger.warn({ err }, 'the directory could not be read anew, trying again'))
      .finally(() => {
        this.#loading = undefined
      })
  }

  #readAnew(): Promise<Copy> {
    const serving = this.#copy !== undefined
    return loadCopy(this.#database, { ...this.#limits, serving, signal: this.#stopped.signal })
  }

  #replace(copy: Copy): void {
    const before = this.#copy
    this.#copy = copy
    this.#loaded = undefined
    this.#incomplete = false
    if (copy.index.overflowed) {
      const { maxKeys } = this.#limits
      this.#logger.warn(
        { maxKeys },
        'there are more keys than MINTMARK_DIRECTORY_MAX_KEYS: the others need the database at each exchange',
      )
    }
    this.#tell('everything')
    if (before) void this.#logDifferences(before, copy)
  }

  async #logDifferences(before: Copy, after: Copy): Promise<void> {
    const differences = await keyDifferences(before.index, after.index, this.#clock)
    this.#logger.warn(differences, 'the directory was read anew')
  }

  #tell(applied: Applied): void {
    for (const hear of this.#observers) hear(applied)
  }
}
