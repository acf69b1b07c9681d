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

/** So that no query takes long. */
const MOST_FEED_ROWS = 2_000
/** After this a request that changed something is answered, whether or not the change was read here. */
const LONGEST_SETTLING_MS = 500
/** Replicas that lost their position at the same moment do not all read everything at the same moment. */
const RELOAD_JITTER_MS = 500

/**
 * Follows the change feed for all of this process. Its subscribers load everything once; then each poll reads the new
 * feed rows and the objects that they name in one snapshot, and applies them in the order of subscription, in one go.
 * So what the subscribers hold is a state that the database was in (after a long absence it is reached in pieces).
 * Polls run one at a time. An idle poll is one cheap statement.
 */
export class ChangeFollower {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #stopped = new AbortController()
  readonly #polls = new Coalescer(() => this.#poll())
  #subscribers: readonly ChangeSubscriber[] = []
  /** `incomplete`: the position was lost, and until everything has been loaded again something may have been missed. */
  #state: 'empty' | 'complete' | 'incomplete' = 'empty'
  #position: FeedPosition | undefined
  /** Puts a finished load into effect. It is as new as the feed only at the end of a poll that began after it. */
  #loaded: Apply | undefined
  #loading: Promise<void> | undefined
  /** How often the position was lost. A load that a loss crossed is of no use. */
  #losses = 0
  /** Monotonic milliseconds: whatever was committed before this instant has been applied. */
  #seenUntil = Number.NEGATIVE_INFINITY
  /** Where the feed ended at the last poll. */
  #end: FeedPosition | undefined
  /** How often everything was loaded again. */
  reloads = 0

  constructor(options: { database: Database; clock: Clock; random: Random; logger: Logger }) {
    this.#database = options.database
    this.#clock = options.clock
    this.#random = options.random
    this.#logger = options.logger
  }

  /** Called once, before `load`. Each subscriber is loaded, and applies changes, after those before it in the list. */
  subscribe(subscribers: readonly ChangeSubscriber[]): void {
    this.#subscribers = subscribers
  }

  /** Seconds since the last poll that left nothing out; infinite before the first. */
  get stalenessSeconds(): number {
    return (this.#clock.monotonicMs() - this.#seenUntil) / 1000
  }

  /** The number of the last change that was applied. */
  get position(): string | undefined {
    return this.#state === 'empty' ? undefined : this.#position?.number
  }

  /** Changes that the last poll saw and that are not applied yet. */
  get behind(): number {
    return Math.max(0, Number(this.#end?.number ?? 0) - Number(this.position ?? 0))
  }

  /** The first full load. @throws {Unavailable} */
  async load(): Promise<void> {
    if (this.#state === 'empty') {
      this.#position = await this.#database.run(feedEnd)
      this.#loaded = await this.#loadAll()
    }
    await this.poll()
  }

  /** Completes with a poll that begins after this call: what was committed before it is applied then. */
  poll(): Promise<void> {
    return this.#polls.run()
  }

  /** Polls now, because there is something new. */
  wake(): void {
    this.poll().catch(() => {})
  }

  /**
   * Returns when what this process committed is applied here. If that takes too long, the subscribers forget the
   * objects until a poll brings them back, so that nothing is granted that was taken away. Never throws.
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

  /** Ends a load that is under way. */
  stop(): void {
    this.#stopped.abort()
  }

  async #poll(): Promise<void> {
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

  /** Requests are answered with what is held, changes from now on are followed, and everything is loaded meanwhile. */
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
