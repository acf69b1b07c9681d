import type { Server } from 'node:net'
import type { Clock } from '../system/clock.ts'

/** Longer than a client that connected needs until its first request is here, on a busy machine. */
const QUIET_MS = 1_000
const POLL_MS = 50

/**
 * The connections that still arrive at a listener that is to close. Linux resets those that were made and not accepted yet when
 * the socket closes. So it stays open until load balancers no longer send any, however late they learn that this process ends.
 */
export class Arrivals {
  readonly #clock: Clock
  #last = Number.NEGATIVE_INFINITY

  constructor(server: Server, clock: Clock) {
    this.#clock = clock
    server.prependListener('connection', () => {
      this.#last = clock.monotonicMs()
    })
  }

  /** Returns once none has arrived for a second, at the latest at `deadline` (of the monotonic clock, in ms). */
  async end(deadline: number): Promise<void> {
    for (;;) {
      const now = this.#clock.monotonicMs()
      if (now - this.#last >= QUIET_MS || now >= deadline) return
      await this.#clock.sleep(POLL_MS)
    }
  }
}
