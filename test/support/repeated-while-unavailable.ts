import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Repeats a request while it is answered 503, as clients do. Many that are sent at once wait for each other, and on a busy
 * machine some wait for too long: their outcome is unknown then, so the request must be one that may be repeated.
 */
export async function repeatedWhileUnavailable<T extends { status: number }>(
  send: () => Promise<T>,
): Promise<T> {
  for (;;) {
    const answer = await send()
    if (answer.status !== 503) return answer
    await sleep(200)
  }
}
