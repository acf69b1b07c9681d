import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { networkOf } from './ip-address.ts'

/** Whether another attempt is allowed, and if not, when to retry, in seconds. */
export type Allowance = { granted: true; giveBack(): void } | { granted: false; retryAfterSeconds: number }

const WINDOW_SECONDS = 60

/**
 * Counts failures by source address for a minute, in this process only. An attempt is counted before it is made and
 * given back when it did not fail, so that concurrent attempts cannot exceed the limit.
 */
export class FailureLimit {
  readonly #limiter: RateLimiterMemory

  constructor(options: { perMinute: number }) {
    this.#limiter = new RateLimiterMemory({ points: options.perMinute, duration: WINDOW_SECONDS })
  }

  /** `source` is an IP address; attempts without one share a limit. */
  async take(source: string | undefined): Promise<Allowance> {
    const name = source === undefined ? 'unknown' : networkOf(source)
    try {
      await this.#limiter.consume(name)
      return { granted: true, giveBack: () => void this.#limiter.reward(name) }
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal
      return { granted: false, retryAfterSeconds: Math.max(1, Math.ceil(refusal.msBeforeNext / 1000)) }
    }
  }
}
