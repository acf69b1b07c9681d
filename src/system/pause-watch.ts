import type { Clock } from './clock.ts'
import type { Logger } from './logger.ts'
import { withTimeout } from './timeout.ts'

/** How often this process notes that it runs. */
export const PAUSE_TICK_MS = 250
/** More time between two observations is a pause. Less is within what a change may take to arrive. */
const LONGEST_GAP_MS = 700
/** A request after a pause waits at most this long. */
const LONGEST_WAIT_MS = 1_000

/**
 * Notices that this process did not run for a while: it was stopped, its machine was suspended, or its event loop was
 * blocked. What it knows may then be old although nothing failed, so requests wait until it has caught up. A failed
 * poll is no pause: during a database outage no request waits. The wall clock is compared too, because the monotonic
 * clock may not count a suspension; when a person sets the wall clock, one needless poll is all that happens.
 */
export class PauseWatch {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #catchUp: (uncountedMs: number) => Promise<unknown>
  #monotonicMs: number | undefined
  #wallMs = 0
  /** Boot time minus monotonic time. */
  #uncountedMs = 0
  #catchingUp: Promise<void> | undefined

  /** `catchUp` receives the milliseconds of the pause that the monotonic clock did not count. */
  constructor(options: {
    clock: Clock
    logger: Logger
    catchUp: (uncountedMs: number) => Promise<unknown>
  }) {
    this.#clock = options.clock
    this.#logger = options.logger
    this.#catchUp = options.catchUp
  }

  /** Called every PAUSE_TICK_MS; the first call begins the watch. */
  tick(): void {
    if (this.#monotonicMs === undefined) {
      this.#uncountedMs = this.#clock.bootMs() - this.#clock.monotonicMs()
      this.#observe()
    } else void this.check()
  }

  /**
   * Called before a request is answered from memory. Undefined: there was no pause. Otherwise it settles when this process has caught
   * up, or could not within a second; it never rejects.
   */
  check(): Promise<void> | undefined {
    if (this.#monotonicMs === undefined) return undefined
    const gapMs = this.#observe()
    if (gapMs > LONGEST_GAP_MS) this.#catchingUp = this.#begin(gapMs)
    return this.#catchingUp
  }

  /** Milliseconds since the last observation, by the clock that counted more. */
  #observe(): number {
    const [monotonicMs, wallMs] = [this.#clock.monotonicMs(), this.#clock.wallMs()]
    const gapMs = Math.max(monotonicMs - (this.#monotonicMs ?? monotonicMs), wallMs - this.#wallMs)
    this.#monotonicMs = monotonicMs
    this.#wallMs = wallMs
    return gapMs
  }

  #begin(gapMs: number): Promise<void> {
    const uncountedMs = this.#clock.bootMs() - this.#clock.monotonicMs()
    const more = Math.max(0, uncountedMs - this.#uncountedMs)
    this.#uncountedMs = uncountedMs
    this.#logger.info(
      { pausedSeconds: Math.round(gapMs / 100) / 10 },
      'this process was paused: polling before it answers',
    )
    const caughtUp = this.#catchUp(more).catch(() => {})
    const bounded = withTimeout(this.#clock, LONGEST_WAIT_MS, caughtUp).then(() => {
      if (this.#catchingUp === bounded) this.#catchingUp = undefined
    })
    return bounded
  }
}
