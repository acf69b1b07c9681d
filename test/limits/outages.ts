import type { Checks } from '../engine/checks.ts'
import type { Envoy } from '../gateway-configs/envoy.ts'
import { until } from '../support/until.ts'
import { oneByOne } from './llm-tokens.ts'
import type { Matrix } from './matrix.ts'
import { ask, type Limits, type Setting, statuses, upTo } from './setting.ts'

const RECOVERED_MS = 30_000

/** The rate limit service, its Redis, and at last Mintmark and its Postgres are stopped. */
export async function checkOutages(checks: Checks, matrix: Matrix, setting: Setting): Promise<void> {
  console.log('\noutages')
  const { service, redis, tenant, anotherEnvoy } = setting
  const closed = await anotherEnvoy(service.port, [['failure_mode_deny: false', 'failure_mode_deny: true']])
  const made = await tenant({ requests_per_minute: 2 })
  for (const [name, stopped] of [
    ['the rate limit service', service],
    ['Redis', redis],
  ] as const) {
    setting.clock.nextMinute()
    await stopped.stop()
    await checks.equal(`${name} is stopped: requests pass`, upTo(4, 4), () =>
      statuses(setting.envoy.url, made.token, 4),
    )
    await checks.equal(`${name} is stopped, failure_mode_deny: true: 503`, REFUSED, () =>
      refusal(closed, made.token),
    )
    await stopped.start()
    await checks.equal(`${name} runs again: limits hold, at both`, [429, 429], async () => {
      const last = async (envoy: Envoy) => (await statuses(envoy.url, made.token, 3)).at(-1)
      for (const envoy of [setting.envoy, closed])
        await until(
          'it limits',
          () => last(envoy),
          status => status === 429,
          RECOVERED_MS,
        )
      return Promise.all([last(setting.envoy), last(closed)])
    })
  }
  await checkWithoutMintmark(checks, matrix, setting)
}

const REFUSED = [503, '1', 'The rate limit service is temporarily unavailable. Retry.']

async function refusal(envoy: Envoy, token: string): Promise<unknown[]> {
  const { status, headers, text } = await ask(envoy.url, token)
  return [status, headers['retry-after'], JSON.parse(text).error.message]
}

/** Tokens that were issued before, and their limits, need neither. */
async function checkWithoutMintmark(checks: Checks, matrix: Matrix, setting: Setting): Promise<void> {
  const { clock, envoy, tenant, postgres, mintmark } = setting
  const day = (limits: Limits) => ({ tenant: () => tenant(limits), key: () => tenant({}, limits) })
  const numbers = [
    { limit: 'requests', limits: { requests_per_minute: 3 } },
    { limit: 'requests_daily', limits: { requests_per_day: 3 } },
    { limit: 'tokens', limits: { tokens_per_minute: 40 } },
    { limit: 'tokens_daily', limits: { tokens_per_day: 40 } },
  ] as const
  const all = []
  for (const bucket of ['tenant', 'key'] as const)
    for (const { limit, limits } of numbers) all.push({ bucket, limit, made: await day(limits)[bucket]() })
  const five = await tenant({ requests_per_minute: 5 })
  const key = await tenant({})
  await mintmark.process.kill()
  await postgres.remove()
  await checks.equal('Mintmark and Postgres are stopped: an API key gets 503', 503, async () => {
    return (await ask(envoy.url, key.secret)).status
  })
  clock.nextDay()
  for (const { bucket, limit, made } of all) {
    const cell = { bucket, limit, by: 'stopped' } as const
    const found = () =>
      limit.startsWith('tokens')
        ? oneByOne(setting, envoy.url, made, made.token, `${bucket}_${limit}`, 5)
        : statuses(envoy.url, made.token, 5)
    await matrix.shows(cell, `Mintmark and Postgres are stopped: ${bucket}.${limit}`, upTo(3, 5), found)
  }
  await checks.equal('and 5 of another tenant', upTo(5, 7), () => statuses(envoy.url, five.token, 7))
}
