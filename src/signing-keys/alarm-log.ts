import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Alarm } from './alarms.ts'

const AGAIN_MS = 60_000

/** Tells of each alarm when it begins, once a minute while it lasts, and when it is over. */
export class AlarmLog {
  readonly #clock: Clock
  readonly #logger: Logger
  /** Ids of those that last, and when they were last told of, in monotonic milliseconds. */
  readonly #told = new Map<string, number>()

  constructor(options: { clock: Clock; logger: Logger }) {
    this.#clock = options.clock
    this.#logger = options.logger
  }

  tell(alarms: readonly Alarm[]): void {
    const now = this.#clock.monotonicMs()
    for (const { id, message, fields } of alarms) {
      if (now - (this.#told.get(id) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) continue
      this.#told.set(id, now)
      this.#logger.error({ alarm: id, ...fields }, message)
    }
    for (const id of this.#told.keys()) {
      if (alarms.some(alarm => alarm.id === id)) continue
      this.#told.delete(id)
      this.#logger.info({ alarm: id }, 'alarm resolved')
    }
  }
}
