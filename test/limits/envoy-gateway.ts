import { limits } from '../../deploy/generate/envoy-parts/limits.ts'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { envoyGatewayConfig } from '../gateway-configs/envoy-gateway-config.ts'
import { checkEightLimits } from './eight-limits.ts'
import { type Counter, charged, four, MANY, oneByOne } from './llm-tokens.ts'
import { Matrix } from './matrix.ts'
import { startRateLimitService } from './programs.ts'
import { checkForged } from './requests.ts'
import { checkSdks } from './sdks.ts'
import { ask, type Setting, statuses, upTo } from './setting.ts'
import type { LimitingGateway } from './stopped.ts'

/** Of the policy of the Gateway: Envoy Gateway gives its rate limit service a domain for each policy with shared rules. */
const DOMAIN = 'inference/inference-limits'
const COST = 16
/** Where `rateLimit.timeout` of Envoy Gateway's own configuration is; exact counts on a busy machine. */
const RATE_LIMIT =
  '"rateLimitService":{"grpcService":{"envoyGrpc":{"clusterName":"ratelimit_cluster"}},"transportApiVersion":"V3"}'
/** The counter of one bucket: Envoy Gateway numbers the rules of the policy. */
const used: Counter = ({ redis }, { tenant, key }, wanted) => {
  const rule = limits.findIndex(({ bucket, limit }) => `${bucket}_${limit}` === wanted)
  return redis.counter(`_rule-${rule}-match-0_${wanted.startsWith('tenant') ? tenant : key}_`)
}

/**
 * Envoy Gateway's own output for deploy/envoy-gateway with the files of limits/, in a stock Envoy, with the rate limit service that it
 * would deploy. It stays up.
 */
export async function checkEnvoyGateway(
  checks: Checks,
  setting: Setting,
  environment: Environment,
): Promise<LimitingGateway> {
  console.log('\nEnvoy Gateway')
  const { clock, engine, home, mintmark, redis } = setting
  const service = await startRateLimitService(home, redis, { clock, domain: DOMAIN })
  environment.onEnd(() => service.stop())
  const portOf = (url: string) => Number(new URL(url).port)
  const ports = { 8000: engine.port, 8080: portOf(mintmark.urls.public), 8082: portOf(mintmark.urls.gateway) }
  const config = envoyGatewayConfig({ ...ports, ratelimit: service.port }, 'record-limits')
  const patient: [string, string][] = [
    [RATE_LIMIT, `${RATE_LIMIT},"timeout":"10s"`],
    ['"timeout":"5s"', '"timeout":"10s"'],
  ]
  const envoy = await startEnvoy(substitute(config, patient))
  environment.onEnd(() => envoy.stop())

  const matrix = new Matrix(checks, 'Envoy Gateway')
  await checkEightLimits(matrix, setting, envoy.url, { counter: used })
  await checkSharing(checks, setting, envoy.url)
  await checkForged(checks, setting, envoy.url)
  await checkSdks(checks, setting, envoy.url)
  return { name: 'Envoy Gateway', url: envoy.url, matrix, counter: used }
}

async function checkSharing(checks: Checks, setting: Setting, url: string): Promise<void> {
  const { clock, tenant } = setting
  clock.nextDay()
  const both = await tenant({ requests_per_minute: 3 })
  await checks.equal(
    'its token and its API key, on two routes, share one limit',
    [200, 200, 200, 429, 429],
    async () => [
      ...(await statuses(url, both.token, 2)),
      ...(await statuses(url, both.secret, 2)),
      ...(await statuses(url, both.token, 1)),
    ],
  )
  const free = await tenant({})
  await checks.equal('a tenant without limits has none', upTo(20, 20), () => statuses(url, free.token, 20))
  const other = await tenant({ requests_per_minute: 1_000 })
  const one = await tenant({ requests_per_minute: 1, requests_per_day: 50 })
  await checks.equal('forged headers of the rules change nothing', [200, 429, 429], () =>
    statuses(url, one.token, 3, {
      headers: [
        ['x-gateway-limit-tenant-requests', other.tenant],
        ['X_Gateway_Limit_Tenant_Requests', other.tenant],
      ],
    }),
  )
  await checks.equal('what the minute refused does not count for the day', 1, () =>
    used(setting, one, 'tenant_requests_daily'),
  )
  await checks.equal(
    'a 429 in the form of both SDKs',
    [429, 'rate_limit_error', true, undefined],
    async () => {
      const { status, headers, text } = await ask(url, one.token)
      const retryAfter = Number(headers['retry-after'])
      return [
        status,
        JSON.parse(text).error.type,
        retryAfter > 0 && retryAfter <= 60,
        headers['x-should-retry'],
      ]
    },
  )
  const day = await tenant({ requests_per_day: 1 })
  await checks.equal('of a day: no client repeats it', [200, 429, 'false', '86400'], async () => {
    const { status: first } = await ask(url, day.token)
    const { status: second, headers } = await ask(url, day.token)
    return [first, second, headers['x-should-retry'], headers['retry-after']]
  })
  const many = await tenant(MANY, MANY)
  await checks.equal('a request is charged to all four buckets of LLM tokens', four(COST), async () => {
    await ask(url, many.token)
    return charged(setting, many, COST, used)
  })
  const both40 = await tenant({ tokens_per_minute: 40, tokens_per_day: 1_000 })
  await checks.equal(
    'the request that exceeds the minute is charged to the minute, and not to the day',
    [...upTo(3, 4), 48, 32],
    async () => [
      ...(await oneByOne(setting, url, both40, both40.token, 'tenant_tokens', 4, used)),
      await used(setting, both40, 'tenant_tokens'),
      await used(setting, both40, 'tenant_tokens_daily'),
    ],
  )
}
