import { Unavailable } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import { Coalescer } from '../system/coalescer.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { withTimeout } from '../system/timeout.ts'
import type { Change } from './change.ts'
import { type FeedPosition, feedAfter, feedEnd, samePosition } from './change-feed.ts'
import type { Apply, ChangeSubscriber } from './change-subscriber.ts'
import type { Database, Handle } from './database.ts'

/** Bounds the time of one query. */
const MOST_FEED_ROWS = 2_000
/** After this time a request that changed something is answered, whether or not this process has read the change. */
const LONGEST_SETTLING_MS = 500
/** Spreads reloads of replicas that lost their position at the same moment. */
const RELOAD_JITTER_MS = 500

/**
 * Follows the change feed for the whole process. Its subscribers load everything once. Then each poll reads the new
 * feed rows and the objects they name in one snapshot, and applies them synchronously in the order of subscription. So
 * subscribers always hold a state that the database was in (after a long absence it is reached in steps). Polls run one
 * at a time. An idle poll is one cheap statement.
 */
export class ChangeFollower {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #stopped = new AbortController()
  readonly #polls = new Coalescer(() => this.#poll())
  #subscribers: readonly ChangeSubscriber[] = []
  /** `incomplete`: the position was lost; changes may be missing until everything has been reloaded. */
  #state: 'empty' | 'complete' | 'incomplete' = 'empty'
  #position: FeedPosition | undefined
  /** Applies a finished load. It is up to date only at the end of a poll that began after the load. */
  #loaded: Apply | undefined
  #loading: Promise<void> | undefined
  /** How often the position was lost. A load during which that happened is discarded. */
  #losses = 0
  /** Monotonic milliseconds: everything committed before this instant has been applied. */
  #seenUntil = Number.NEGATIVE_INFINITY
  /** The state is from a snapshot, and the database was not checked yet: it may be another one. */
  #adopted = false
  /** The end of the feed at the last poll. */
  #end: FeedPosition | undefined
  /** Number of reloads. */
  reloads = 0

  constructor(options: { database: Database; clock: Clock; random: Random; logger: Logger }) {
    this.#database = options.database
    this.#clock = options.clock
    this.#random = options.random
    this.#logger = options.logger
  }

  /** Called once, before `load`. Subscribers load and apply changes in the order of the list. */
  subscribe(subscribers: readonly ChangeSubscriber[]): void {
    this.#subscribers = subscribers
  }

  /** Seconds since the last complete poll; infinite before the first. */
  get stalenessSeconds(): number {
    return (this.#clock.monotonicMs() - this.#seenUntil) / 1000
  }

  /** The monotonic clock did not count so much time, because the machine was suspended. */
  addUncounted(ms: number): void {
    this.#seenUntil -= ms
  }

  /** The last applied change, once everything is loaded and while nothing is being reloaded. */
  get place(): FeedPosition | undefined {
    return this.#state === 'complete' ? this.#position : undefined
  }

  /** Whether changes can be read: not while the state is from a snapshot and `load` was not called. */
  get following(): boolean {
    return !this.#adopted
  }

  /**
   * The subscribers hold the state of a snapshot, which has seen everything until `ageMs` ago. Nothing is polled before
   * `load`, which catches up from here.
   */
  adopt(position: FeedPosition, ageMs: number): void {
    this.#position = position
    this.#state = 'complete'
    this.#seenUntil = this.#clock.monotonicMs() - ageMs
    this.#adopted = true
  }

  /** The number of the last applied change. */
  get position(): string | undefined {
    return this.#state === 'empty' ? undefined : this.#position?.number
  }

  /** Number of changes that the last poll saw and that are not applied yet. */
  get behind(): number {
    return Math.max(0, Number(this.#end?.number ?? 0) - Number(this.position ?? 0))
  }

  /** The first full load. @throws {Unavailable} */
  async load(): Promise<void> {
    this.#adopted = false
    if (this.#state === 'empty') {
      this.#position = await this.#database.run(feedEnd)
      this.#loaded = await this.#loadAll()
    }
    await this.poll()
  }

  /** Completes with a poll that begins after this call, so everything committed before it is applied. */
  poll(): Promise<void> {
    return this.#polls.run()
  }

  /** Polls now. */
  wake(): void {
    this.poll().catch(() => {})
  }

  /**
   * Returns when the changes that this process committed are applied here. After a timeout the subscribers forget the
   * objects until a poll reads them again, so that no revoked right is granted. Never throws.
   */
  async settle(changes: readonly Change[]): Promise<void> {
    if (this.#state === 'empty') return
    const polled = this.poll().then(
      () => this.#state === 'complete',
      () => false,
    )
    if ((await withTimeout(this.#clock, LONGEST_SETTLING_MS, polled)) === true) return
    for (const [subscriber, concerning] of this.#concerned(changes)) subscriber.forget(concerning)
  }

  /** Aborts a load in progress. */
  stop(): void {
    this.#stopped.abort()
  }

  async #poll(): Promise<void> {
    if (this.#adopted) throw new Unavailable('The database was not checked yet. Retry.')
    if (!this.#position) return
    const begun = this.#clock.monotonicMs()
    const loaded = this.#loaded
    if (!(await this.#catchUp(this.#position))) await this.#losePosition()
    else if (loaded) {
      this.#loaded = undefined
      this.#state = 'complete'
      loaded()
    }
    if (this.#state === 'complete') this.#seenUntil = begun
    if (this.#state === 'incomplete') this.#loadAgain()
  }

  /** False when the position is lost. */
  async #catchUp(from: FeedPosition): Promise<boolean> {
    let position = from
    for (;;) {
      this.#end = await this.#database.run(feedEnd)
      if (samePosition(this.#end, position)) return true
      const update = await this.#database.readSnapshot(trx => this.#readAfter(trx, position))
      if (!update) return false
      for (const apply of update.applies) apply()
      position = update.position
      this.#position = position
      if (!update.more) return true
    }
  }

  async #readAfter(trx: Handle, position: FeedPosition) {
    const page = await feedAfter(trx, position, MOST_FEED_ROWS)
    if (!page) return undefined
    const applies: Apply[] = []
    for (const [subscriber, concerning] of this.#concerned(page.changes)) {
      applies.push(await subscriber.read(trx, concerning))
    }
    return { applies, position: page.position, more: page.more }
  }

  #concerned(changes: readonly Change[]): [ChangeSubscriber, readonly Change[]][] {
    return this.#subscribers.flatMap(subscriber => {
      const { kinds } = subscriber
      if (!kinds) return [[subscriber, changes]]
      const concerning = changes.filter(({ kind }) => kinds.includes(kind))
      return concerning.length > 0 ? [[subscriber, concerning]] : []
    })
  }

  /** Requests are answered from the current state and new changes are followed, while everything is reloaded. */
  async #losePosition(): Promise<void> {
    this.#losses++
    this.#loaded = undefined
    if (this.#state === 'empty') {
      this.#position = undefined
      throw new Unavailable('The change feed was replaced while it was read. Retry.')
    }
    this.#state = 'incomplete'
    const lost = this.#position
    this.#position = await this.#database.run(feedEnd)
    this.#logger.warn(
      { position: lost, end: this.#position },
      'the change feed was replaced or pruned beyond the last applied change: reloading',
    )
  }

  #loadAgain(): void {
    if (this.#loading || this.#loaded || this.#stopped.signal.aborted) return
    const losses = this.#losses
    const load = async () => {
      await this.#clock.sleep(this.#random.integer(RELOAD_JITTER_MS), this.#stopped.signal)
      const loaded = await this.#loadAll()
      if (losses !== this.#losses) return
      this.#loaded = loaded
      this.reloads++
    }
    this.#loading = load()
      .then(() => this.wake())
      .catch(err => this.#logger.warn({ err }, 'reload failed; retrying'))
      .finally(() => {
        this.#loading = undefined
      })
  }

  async #loadAll(): Promise<Apply> {
    const applies: Apply[] = []
    for (const subscriber of this.#subscribers) applies.push(await subscriber.load(this.#stopped.signal))
    return () => {
      for (const apply of applies) apply()
    }
  }
}
