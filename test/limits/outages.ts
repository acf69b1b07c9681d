import type { Checks } from '../engine/checks.ts'
import type { Envoy } from '../gateway-configs/envoy.ts'
import { until } from '../support/until.ts'
import { ask, type Setting, statuses, upTo } from './setting.ts'

const RECOVERED_MS = 30_000

/** The rate limit service and its Redis are stopped. */
export async function checkOutages(checks: Checks, setting: Setting): Promise<void> {
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
}

const REFUSED = [503, '1', 'The rate limit service is temporarily unavailable. Retry.']

async function refusal(envoy: Envoy, token: string): Promise<unknown[]> {
  const { status, headers, text } = await ask(envoy.url, token)
  return [status, headers['retry-after'], JSON.parse(text).error.message]
}
