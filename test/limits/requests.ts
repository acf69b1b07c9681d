import type { Checks } from '../engine/checks.ts'
import type { Cell, Matrix } from './matrix.ts'
import { checkSdks } from './sdks.ts'
import { ask, type Limits, MODEL, type Setting, statuses, upTo } from './setting.ts'

/** Limits of requests, in a minute and in a day, of tenants and of keys, and what a client sees of them. */
export async function checkRequests(checks: Checks, matrix: Matrix, setting: Setting): Promise<void> {
  console.log('\nlimits of requests')
  for (const by of ['token', 'API key'] as const) {
    await checkNumbers(matrix, setting, by)
    await checkDays(matrix, setting, by)
  }
  await checkBuckets(checks, setting)
  await checkAnswers(checks, setting)
  await checkSdks(checks, setting, setting.envoy.url)
  await checkForged(checks, setting, setting.envoy.url)
}

const credentialOf = (by: Cell['by'], of: { secret: string; token: string }) =>
  by === 'API key' ? of.secret : of.token

/** Two tenants, two keys, one policy. */
async function checkNumbers(matrix: Matrix, { clock, envoy, tenant, key }: Setting, by: 'token' | 'API key') {
  clock.nextMinute()
  const [three, five] = [await tenant({ requests_per_minute: 3 }), await tenant({ requests_per_minute: 5 })]
  const both = async () => [
    await statuses(envoy.url, credentialOf(by, three), 7),
    await statuses(envoy.url, credentialOf(by, five), 7),
  ]
  const cell = { bucket: 'tenant', limit: 'requests', by } as const
  const expected = [upTo(3, 7), upTo(5, 7)]
  await matrix.shows(cell, `two tenants, 3 and 5 requests a minute, by ${by}`, expected, both)
  clock.nextMinute()
  await matrix.shows(cell, `the same in the next minute, by ${by}`, expected, both)
  clock.nextMinute()
  const [two, four] = [
    await key(five.tenant, { requests_per_minute: 2 }),
    await key(five.tenant, { requests_per_minute: 4 }),
  ]
  const ofKey = { bucket: 'key', limit: 'requests', by } as const
  const sent = async () => [
    await statuses(envoy.url, credentialOf(by, two), 6),
    await statuses(envoy.url, credentialOf(by, four), 6),
  ]
  const name = `two keys of one tenant, 2 and 4 of 5 a minute, by ${by}: what the first was refused costs the second nothing`
  await matrix.shows(ofKey, name, [upTo(2, 6), upTo(3, 6)], sent)
}

async function checkDays(matrix: Matrix, setting: Setting, by: 'token' | 'API key') {
  const { clock, envoy, tenant } = setting
  for (const bucket of ['tenant', 'key'] as const) {
    clock.nextDay()
    const day: Limits = { requests_per_day: 4 }
    const made = bucket === 'tenant' ? await tenant(day) : await tenant({}, day)
    const found = async () => {
      const first = await statuses(envoy.url, credentialOf(by, made), 3)
      clock.nextMinute()
      const later = await statuses(envoy.url, credentialOf(by, made), 3)
      clock.nextDay()
      return [...first, ...later, ...(await statuses(envoy.url, credentialOf(by, made), 5))]
    }
    await matrix.shows(
      { bucket, limit: 'requests_daily', by },
      `4 requests a day of a ${bucket}, by ${by}: over two minutes, and again the next day`,
      [...upTo(4, 6), ...upTo(4, 5)],
      found,
    )
  }
}

async function checkBuckets(checks: Checks, { clock, envoy, redis, tenant }: Setting) {
  clock.nextDay()
  const made = await tenant({ requests_per_minute: 2, requests_per_day: 5 })
  await checks.equal('what the minute refused does not count for the day', 2, async () => {
    await statuses(envoy.url, made.token, 6)
    return redis.counter(`_${made.tenant}_tenant_requests_daily_`)
  })
  const free = await tenant({})
  await checks.equal('a tenant without limits has none', upTo(20, 20), () =>
    statuses(envoy.url, free.token, 20),
  )
  const listing = await tenant({ requests_per_minute: 1 })
  await checks.equal('GET /v1/models counts for nothing', [200, 200, 200, 429], async () => {
    const list = { method: 'GET', path: '/v1/models', body: '' }
    return [
      ...(await statuses(envoy.url, listing.token, 2, list)),
      ...(await statuses(envoy.url, listing.token, 2)),
    ]
  })
}

async function checkAnswers(checks: Checks, { clock, engine, envoy, tenant }: Setting) {
  clock.nextMinute(13)
  const made = await tenant({ requests_per_minute: 1 })
  const first = await ask(envoy.url, made.token)
  const before = engine.requests()
  const { status, headers, text } = await ask(envoy.url, made.token)
  const of = (names: string[], answered: typeof headers) => names.map(name => answered[name])
  const rate = ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset']
  await checks.equal('a response says what is left', ['1, 1;w=60', '0', '47'], () => of(rate, first.headers))
  const names = [...rate, 'retry-after', 'x-should-retry', 'content-type']
  await checks.equal(
    'a 429 says when to retry',
    [429, '1, 1;w=60', '0', '47', '47', undefined, 'application/json'],
    () => [status, ...of(names, headers)],
  )
  await checks.equal(
    'in the form of both SDKs',
    {
      type: 'error',
      error: {
        message:
          'The limit of requests or LLM tokens of a minute is reached. Retry after the seconds in Retry-After.',
        ...{ type: 'rate_limit_error', code: 'rate_limit_exceeded', param: null },
      },
    },
    () => JSON.parse(text),
  )
  await checks.equal('the engine receives none of them', before, () => engine.requests())
  const both = await tenant({ requests_per_minute: 1, requests_per_day: 1 })
  await checks.equal(
    'of a minute and a day, the 429 has the end of the day',
    [200, 429, 'false', true],
    async () => {
      const { status: first } = await ask(envoy.url, both.token)
      const { status: second, headers: last } = await ask(envoy.url, both.token)
      return [first, second, last['x-should-retry'], Number(last['retry-after']) > 60]
    },
  )
}

/** At the gateway at `url`. */
export async function checkForged(checks: Checks, { clock, tenant }: Setting, url: string): Promise<void> {
  clock.nextMinute()
  const made = await tenant({ requests_per_minute: 2 })
  const other = await tenant({ requests_per_minute: 1_000 })
  const limits = { tenant: { requests: { requests_per_unit: 9_999, unit: 'MINUTE' } } }
  const headers: [string, string][] = [
    ['x-tenant-id', other.tenant],
    ['x-ratelimit-limit', '9999'],
    ['x-envoy-ratelimited', 'false'],
    ['limits', JSON.stringify(limits)],
    ['x-forwarded-for', '10.0.0.1'],
    ['x-envoy-internal', 'true'],
  ]
  const body = JSON.stringify({
    model: MODEL,
    messages: [],
    limits,
    tenant: other.tenant,
    usage: { total_tokens: 0 },
  })
  await checks.equal('forged headers and fields of the body change nothing', upTo(2, 4), () =>
    statuses(url, made.token, 4, { headers, body }),
  )
}
