import { type Clock, systemClock } from '../../src/system/clock.ts'

/** The system's clock, with a monotonic time that can be set forward; timers are not affected. */
export interface AdjustableClock extends Clock {
  forward(seconds: number): void
}

export function adjustableClock(): AdjustableClock {
  let offsetMs = 0
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + offsetMs,
    forward: seconds => {
      offsetMs += seconds * 1000
    },
  }
}
