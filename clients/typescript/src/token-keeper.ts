import type { TokenError } from './token-error.ts'
import type { Token } from './token-exchange.ts'

export interface Clock {
  /** Milliseconds of the wall clock, which advances while a machine sleeps, as the age of tokens does. */
  now(): number
  /** @throws the signal's reason, at once when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

interface HeldToken {
  value: string
  obtainedAt: number
  refreshAt: number
  usableUntil: number
}

/** Fraction of a token's lifetime, which is counted from before the request. */
const REFRESH_AT = 0.6
const USABLE_UNTIL = 0.95

const REFUSAL_PAUSE_MS = 10_000
const SHORTEST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 60_000

/**
 * One shared token, and one exchange at a time. After a failure no request is sent until a pause is over: the one that
 * the service requested (`Retry-After`), otherwise twice the last one. A permanent error is repeated without a request
 * for ten seconds.
 */
export class TokenKeeper {
  readonly #exchange: () => Promise<Token>
  readonly #retryForMs: number
  readonly #clock: Clock
  #held: HeldToken | undefined
  #failure: { error: TokenError; until: number } | undefined
  #failures = 0
  #flight: Promise<void> | undefined

  constructor(options: { exchange: () => Promise<Token>; retryForMs: number; clock: Clock }) {
    this.#exchange = options.exchange
    this.#retryForMs = options.retryForMs
    this.#clock = options.clock
  }

  /** @throws {TokenError} @throws the signal's reason. */
  async token(signal?: AbortSignal | null): Promise<string> {
    const deadline = this.#clock.now() + this.#retryForMs
    for (;;) {
      signal?.throwIfAborted()
      const now = this.#clock.now()
      const pause = this.#pauseMs(now)
      const held = this.#held
      // Obtained in the future: the clock was set back, and the token's age is unknown.
      if (held && now >= held.obtainedAt && now < held.usableUntil) {
        if (now >= held.refreshAt && pause === 0) void this.#attempt()
        return held.value
      }
      if (pause === 0) await abortable(this.#attempt(), signal)
      else if (this.#failure?.error.temporary && now + pause <= deadline) {
        await this.#clock.sleep(pause, signal ?? undefined)
      } else throw this.#failure?.error
    }
  }

  /** Drops a token that was rejected. One that is younger than ten seconds stays: another would be rejected too. */
  drop(): void {
    if (this.#held && this.#clock.now() - this.#held.obtainedAt >= REFUSAL_PAUSE_MS) this.#held = undefined
  }

  #pauseMs(now: number): number {
    const left = (this.#failure?.until ?? now) - now
    // Longer than any pause: the clock was set back.
    return left > 2 * LONGEST_PAUSE_MS ? 0 : Math.max(left, 0)
  }

  /** Never rejects: the result is in #held or #failure. */
  #attempt(): Promise<void> {
    this.#flight ??= this.#exchangeOnce().finally(() => {
      this.#flight = undefined
    })
    return this.#flight
  }

  async #exchangeOnce(): Promise<void> {
    const obtainedAt = this.#clock.now()
    try {
      const { value, lifetimeMs } = await this.#exchange()
      this.#held = {
        value,
        obtainedAt,
        refreshAt: obtainedAt + lifetimeMs * REFRESH_AT,
        usableUntil: obtainedAt + lifetimeMs * USABLE_UNTIL,
      }
      this.#failure = undefined
      this.#failures = 0
    } catch (thrown) {
      const error = thrown as TokenError
      this.#failures += 1
      this.#failure = { error, until: this.#clock.now() + pauseAfter(error, this.#failures) }
    }
  }
}

/** Randomized by a quarter, so that many clients do not retry at once; never zero. */
function pauseAfter({ temporary, retryAfterMs }: TokenError, failures: number): number {
  const backoff = SHORTEST_PAUSE_MS * 2 ** Math.min(failures - 1, 10)
  const asked = temporary ? (retryAfterMs ?? backoff) : REFUSAL_PAUSE_MS
  const pause = Math.min(Math.max(asked, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS)
  return pause * (1 + Math.random() / 4)
}

function abortable<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return work
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => {
    let timer: ReturnType<typeof setTimeout>
    const slept = new Promise<void>(resolve => {
      timer = setTimeout(resolve, ms)
    })
    return abortable(slept, signal).finally(() => clearTimeout(timer))
  },
}
