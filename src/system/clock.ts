import { uptime } from 'node:os'

/**
 * system/ is the only source of time, randomness, logging and secrets: nothing else in src reads the clock, draws
 * random bytes or starts a timer, so every rule about them can be tested without sleeping.
 */

/** The clock of this machine. `wallMs` is epoch milliseconds and may jump; `monotonicMs` never decreases. */
export interface Clock {
  wallMs(): number
  monotonicMs(): number
  /** Milliseconds since the machine started. Counts the time of a suspension, which `monotonicMs` may not. */
  bootMs(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs `task` every `ms`, never twice at once, without keeping the process alive. Returns the stop function. */
  every(ms: number, task: () => Promise<void>): () => void
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  bootMs: () => uptime() * 1000,
  sleep: (ms, signal) =>
    new Promise(resolve => {
      if (signal?.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done)
    }),
  every: (ms, task) => {
    let running = false
    const timer = setInterval(() => {
      if (running) return
      running = true
      task().finally(() => {
        running = false
      })
    }, ms)
    timer.unref()
    return () => clearInterval(timer)
  },
}
