import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Alarm } from './alarms.ts'

const AGAIN_MS = 60_000

/** Logs each alarm when it begins, once a minute while it lasts, and when it is over. */
export class AlarmLog {
  readonly #clock: Clock
  readonly #logger: Logger
  /** Ids of current alarms, and when they were last logged, in monotonic milliseconds. */
  readonly #loggedAt = new Map<string, number>()

  constructor(options: { clock: Clock; logger: Logger }) {
    this.#clock = options.clock
    this.#logger = options.logger
  }

  log(alarms: readonly Alarm[]): void {
    const now = this.#clock.monotonicMs()
    for (const { id, message, fields } of alarms) {
      if (now - (this.#loggedAt.get(id) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) continue
      this.#loggedAt.set(id, now)
      this.#logger.error({ alarm: id, ...fields }, message)
    }
    for (const id of this.#loggedAt.keys()) {
      if (alarms.some(alarm => alarm.id === id)) continue
      this.#loggedAt.delete(id)
      this.#logger.info({ alarm: id }, 'alarm resolved')
    }
  }
}
