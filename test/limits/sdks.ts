import { setTimeout as sleep } from 'node:timers/promises'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import type { Checks } from '../engine/checks.ts'
import { MODEL, type Setting } from './setting.ts'

/** What the clients of OpenAI and Anthropic do when a limit of the gateway at `url` is reached. */
export async function checkSdks(checks: Checks, { clock, tenant }: Setting, url: string): Promise<void> {
  let calls = 0
  const counted: typeof fetch = (input, init) => {
    calls += 1
    return fetch(input, init)
  }
  const clients = [
    [
      'OpenAI',
      (token: string) => {
        const client = new OpenAI({ apiKey: token, baseURL: `${url}/v1`, fetch: counted })
        return () =>
          client.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content: 'a' }] })
      },
    ],
    [
      'Anthropic',
      (token: string) => {
        const client = new Anthropic({ apiKey: null, authToken: token, baseURL: url, fetch: counted })
        return () =>
          client.messages.create({ model: MODEL, max_tokens: 5, messages: [{ role: 'user', content: 'a' }] })
      },
    ],
  ] as const
  for (const [name, clientOf] of clients) {
    clock.nextMinute(58)
    const minute = clientOf((await tenant({ requests_per_minute: 1 })).token)
    await minute()
    calls = 0
    const begin = performance.now()
    const later = sleep(500).then(() => clock.nextMinute())
    await checks.equal(`${name}'s client waits for the next minute, and is answered`, [2, true], async () => {
      await minute()
      return [calls, performance.now() - begin >= 1_900]
    })
    await later
    clock.nextDay()
    const day = clientOf((await tenant({ requests_per_day: 1 })).token)
    await day()
    calls = 0
    await checks.equal(
      `${name}'s client repeats nothing after the limit of a day`,
      ['RateLimitError', 429, 'rate_limit_error', '86400', 1],
      async () => {
        const error = await day().then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
        if (error instanceof OpenAI.RateLimitError)
          return ['RateLimitError', error.status, error.type, error.headers?.get('retry-after'), calls]
        if (error instanceof Anthropic.RateLimitError)
          return ['RateLimitError', error.status, error.type, error.headers?.get('retry-after'), calls]
        return [String(error), calls]
      },
    )
  }
}
