import { expect, it } from 'vitest'
import { retryingCall } from '../../src/cli/retrying-call.ts'
import { systemClock } from '../../src/system/clock.ts'

/** A clock on which sleeping takes no time, and what was slept. */
function fastClock() {
  const slept: number[] = []
  let now = 0
  const sleep = async (ms: number) => {
    slept.push(ms)
    now += ms
  }
  return { clock: { ...systemClock, monotonicMs: () => now, sleep }, slept }
}

const busy = (retryAfter?: string) =>
  new Response('{"detail":"Busy."}', {
    status: 503,
    ...(retryAfter !== undefined && { headers: { 'retry-after': retryAfter } }),
  })

it('waits for as long as each Retry-After says, a second where there is none, and returns the first other answer', async () => {
  const { clock, slept } = fastClock()
  const answers = [busy('2'), busy(), busy('soon'), busy('0'), new Response('', { status: 409 })]
  const answer = await retryingCall(clock, 'POST /x', async () => answers.shift() as Response)
  expect(answer.status).toBe(409)
  expect(slept).toEqual([2000, 1000, 1000, 0])
})

it.each([
  ['1', 20],
  ['7', 2],
  ['21', 0],
  ['999999', 0],
])('gives up once Retry-After: %s leads beyond 20 seconds, after %d waits', async (retryAfter, waits) => {
  const { clock, slept } = fastClock()
  const failure = retryingCall(clock, 'POST /x', async () => busy(retryAfter))
  await expect(failure).rejects.toThrow(
    /^POST \/x is answered 503 \(Busy\.\), and retries .* 20 seconds .*: run the quickstart again/,
  )
  expect(slept).toHaveLength(waits)
})

it('throws what the call throws', async () => {
  const failed = retryingCall(fastClock().clock, 'POST /x', () => Promise.reject(new TypeError('broken')))
  await expect(failed).rejects.toThrow(new TypeError('broken'))
})
