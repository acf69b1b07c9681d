import { type Clock, systemClock } from '../../src/system/clock.ts'

/** The system's clock, with a monotonic time that can be set forward; timers are not affected. */
export interface AdjustableClock extends Clock {
  forward(seconds: number): void
  /** From now on only `forward` sets it: a pause of the machine is no second. */
  freeze(): void
}

export function adjustableClock(): AdjustableClock {
  let offsetMs = 0
  let frozenAt: number | undefined
  return {
    ...systemClock,
    monotonicMs: () => (frozenAt ?? systemClock.monotonicMs()) + offsetMs,
    forward: seconds => {
      offsetMs += seconds * 1000
    },
    freeze: () => {
      // Whole milliseconds: sums of these are exact.
      frozenAt = Math.floor(systemClock.monotonicMs())
    },
  }
}

const FIVE_SECONDS_MS = 5_000

/** The system's clock, whose jobs of every five seconds, or of another interval, also run when a test asks for it. */
export interface PromptedClock extends Clock {
  /** Runs them from their beginning: what happened before the call is in it. */
  runJobs(): Promise<void>
}

export function promptedClock(intervalMs = FIVE_SECONDS_MS): PromptedClock {
  return clockOfJobs(intervalMs, systemClock.every)
}

/** As `promptedClock`, but these jobs never run by themselves. */
export function onlyPromptedClock(intervalMs = FIVE_SECONDS_MS): PromptedClock {
  return clockOfJobs(intervalMs, () => () => undefined)
}

function clockOfJobs(intervalMs: number, repeat: Clock['every']): PromptedClock {
  const jobs = new Set<() => Promise<void>>()
  return {
    ...systemClock,
    every: (ms, task) => {
      if (ms !== intervalMs) return systemClock.every(ms, task)
      let running = Promise.resolve()
      const job = () => {
        running = running.then(task)
        return running
      }
      jobs.add(job)
      const stop = repeat(ms, job)
      return () => {
        jobs.delete(job)
        stop()
      }
    },
    runJobs: async () => {
      await Promise.all([...jobs].map(job => job()))
    },
  }
}

const OFTEN_MS = 200

/** The system's clock, on which jobs that run every five seconds run five times a second: a test does not wait for them. */
export const briskClock: Clock = {
  ...systemClock,
  every: (ms, task) => systemClock.every(ms === FIVE_SECONDS_MS ? OFTEN_MS : ms, task),
}
