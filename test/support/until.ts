import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Polls every 20 ms until the result holds, and returns it. A probe that throws counts as "not yet".
 * @throws {Error} after `deadlineMs`, with the last result.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T> | T,
  holds: (answer: T) => boolean = Boolean,
  deadlineMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs
  let last: unknown
  for (;;) {
    try {
      const answer = await probe()
      if (holds(answer)) return answer
      last = answer
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) {
      throw new Error(
        `not within ${deadlineMs} ms: ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`,
      )
    }
    await sleep(20)
  }
}

/**
 * How many times longer than on a quiet machine something may take in a test. It separates what hangs from what is
 * slow: `npm run faults` and `npm run bench` measure speed.
 */
export const BUSY = 5

/**
 * The median of three durations in milliseconds, or the longer of two that are both below the limit, as the median would be: a
 * pause of the machine makes one of them long, what is slow most of them.
 */
export async function medianOfThree(limitMs: number, measure: () => Promise<number>): Promise<number> {
  const [first, second] = [await measure(), await measure()]
  const longer = Math.max(first, second)
  if (longer < limitMs) return longer
  return Math.min(longer, Math.max(Math.min(first, second), await measure()))
}

/** The duration in milliseconds, and the result. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const begin = performance.now()
  const result = await work()
  return { ms: performance.now() - begin, result }
}
