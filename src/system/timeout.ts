import { setImmediate } from 'node:timers/promises'
import type { Clock } from './clock.ts'

/**
 * The result of `work`, or `'timed_out'` after `ms` milliseconds. Rejects as `work` does, until then. After a long turn of the event
 * loop timers are run before sockets are read: what has arrived by then is not late.
 */
export async function withTimeout<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T | 'timed_out'> {
  const decided = new AbortController()
  const timeout = clock.sleep(ms, decided.signal).then(() => setImmediate('timed_out' as const))
  // It may reject after the timeout, when nothing awaits it any more.
  work.catch(() => {})
  try {
    return await Promise.race([work, timeout])
  } finally {
    decided.abort()
  }
}
