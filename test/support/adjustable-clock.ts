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

const OFTEN_MS = 200

/** The system's clock, on which jobs that run every five seconds run five times a second: a test does not wait for them. */
export const briskClock: Clock = {
  ...systemClock,
  every: (ms, task) => systemClock.every(ms === 5_000 ? OFTEN_MS : ms, task),
}
