import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'

/** Whether there was room for one more, and if not, when to retry, in seconds. */
export type Taken = { granted: true } | { granted: false; retryAfterSeconds: number }

const WINDOW_SECONDS = 60

/** Counts by name for a minute, which begins with the first one, in this process only. */
export class MinuteLimit {
  readonly #limiter = new RateLimiterMemory({ points: 1, duration: WINDOW_SECONDS })

  /** Counts one. Those beyond `limit` are not granted, and counted too. */
  async take(name: string, limit: number): Promise<Taken> {
    // Counted before the first await, so concurrent ones cannot exceed the limit.
    this.#limiter.points = limit
    try {
      await this.#limiter.consume(name)
      return { granted: true }
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal
      return { granted: false, retryAfterSeconds: Math.max(1, Math.ceil(refusal.msBeforeNext / 1000)) }
    }
  }

  /** Counts one less, at once. Nothing is saved up: a count below none, in a new minute, is removed. */
  async giveBack(name: string): Promise<void> {
    const { consumedPoints } = await this.#limiter.reward(name)
    if (consumedPoints < 0) await this.#limiter.delete(name)
  }
}
