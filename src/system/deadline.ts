import type { Clock } from './clock.ts'

/** What `work` comes to, or `'late'` when that takes longer than `ms`. Rejects as the work does, while it is waited for. */
export async function inTime<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T | 'late'> {
  const decided = new AbortController()
  const late = clock.sleep(ms, decided.signal).then(() => 'late' as const)
  // Nobody may be waiting any more when it rejects.
  work.catch(() => {})
  try {
    return await Promise.race([work, late])
  } finally {
    decided.abort()
  }
}
