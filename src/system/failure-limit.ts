import { networkOf } from './ip-address.ts'
import { MinuteLimit } from './minute-limit.ts'

/** Whether another attempt is allowed, and if not, when to retry, in seconds. */
export type Allowance = { granted: true; giveBack(): void } | { granted: false; retryAfterSeconds: number }

/**
 * Counts failures by source address for a minute, in this process only. An attempt is counted before it is made, so
 * that concurrent attempts cannot exceed the limit, and given back when it succeeds. One that is refused is never given
 * back, whatever the reason; only an internal fault is, where the caller cannot cause it.
 */
export class FailureLimit {
  readonly #counts = new MinuteLimit()
  readonly #perMinute: number

  constructor(options: { perMinute: number }) {
    this.#perMinute = options.perMinute
  }

  /** `source` is an IP address; attempts without one share a limit. */
  async take(source: string | undefined): Promise<Allowance> {
    const name = source === undefined ? 'unknown' : networkOf(source)
    const taken = await this.#counts.take(name, this.#perMinute)
    return taken.granted ? { granted: true, giveBack: () => void this.#counts.giveBack(name) } : taken
  }
}
