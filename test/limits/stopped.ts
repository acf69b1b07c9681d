import type { Checks } from '../engine/checks.ts'
import { until } from '../support/until.ts'
import { type Counter, oneByOne } from './llm-tokens.ts'
import type { Matrix } from './matrix.ts'
import { ask, type Limits, type Setting, statuses, upTo } from './setting.ts'

/** On a busy machine. */
const RECOVERED_MS = 30_000
/** Of a rate limit service, which uses them in turn. */
const REDIS_CONNECTIONS = 10
const NUMBERS = [
  { limit: 'requests', limits: { requests_per_minute: 3 } },
  { limit: 'requests_daily', limits: { requests_per_day: 3 } },
  { limit: 'tokens', limits: { tokens_per_minute: 40 } },
  { limit: 'tokens_daily', limits: { tokens_per_day: 40 } },
] as const

/** A gateway that enforces limits, and stays up. `counter`: of its buckets, if it names them in its own way. */
export interface LimitingGateway {
  name: string
  url: string
  matrix: Matrix
  counter?: Counter
}

/** Mintmark and its Postgres are stopped, for good: tokens that were issued before, and their limits, need neither. */
export async function checkStopped(
  checks: Checks,
  setting: Setting,
  gateways: readonly LimitingGateway[],
): Promise<void> {
  console.log('\nMintmark and Postgres are stopped')
  const { tenant, postgres, mintmark } = setting
  const made = []
  for (const gateway of gateways)
    made.push({ gateway, cells: await cells(tenant), five: await tenant({ requests_per_minute: 5 }) })
  const probe = await tenant({ requests_per_minute: 1 })
  // After an outage of Redis a call on a connection from before fails, and its request passes.
  for (const { url } of gateways)
    await until(
      'it limits on every connection to Redis',
      () => statuses(url, probe.token, REDIS_CONNECTIONS + 1),
      found => found.every(status => status === 429),
      RECOVERED_MS,
    )
  const key = await tenant({})
  await mintmark.process.kill()
  await postgres.remove()
  for (const { gateway, cells, five } of made) {
    const { name, url, matrix, counter } = gateway
    await checks.equal(`${name}: an API key gets 503`, 503, async () => (await ask(url, key.secret)).status)
    setting.clock.nextDay()
    for (const { bucket, limit, credential } of cells) {
      const found = () =>
        limit.startsWith('tokens')
          ? oneByOne(setting, url, credential, credential.token, `${bucket}_${limit}`, 5, counter)
          : statuses(url, credential.token, 5)
      await matrix.shows(
        { bucket, limit, by: 'stopped' },
        `${name}: ${bucket}.${limit}, 3 requests pass`,
        upTo(3, 5),
        found,
      )
    }
    await checks.equal(`${name}: and 5 of another tenant`, upTo(5, 7), () => statuses(url, five.token, 7))
  }
}

/** A credential for each of the eight limits. */
async function cells(tenant: Setting['tenant']) {
  const all = []
  for (const bucket of ['tenant', 'key'] as const)
    for (const { limit, limits } of NUMBERS) {
      const own: Limits = limits
      const credential = await (bucket === 'tenant' ? tenant(own) : tenant({}, own))
      all.push({ bucket, limit, credential })
    }
  return all
}
