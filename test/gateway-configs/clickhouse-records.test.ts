import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { numbersOf } from '../support/seeded-numbers.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { logRecords, makeReporter, type Request, receiverOf, send } from '../usage/reports.ts'
import { type ClickHouse, makeClickHouse, noClickHouse } from './clickhouse.ts'
import { type Collector, noCollector, startCollector } from './collector.ts'
import { startMintmark } from './environment.ts'
import { substitute } from './envoy.ts'

/**
 * deploy/otel-collector/clickhouse.yaml and clickhouse.sql with usage.yaml: a Collector between reports, the real receiver and ClickHouse's
 * engine. The view has the totals of Mintmark, of records of every kind, while each of the three is killed.
 */

const isMissing = noCollector || noClickHouse
const BATCH = 200
const SEED = 24
const shipped = (name: string) =>
  readFileSync(new URL(`../../deploy/otel-collector/${name}`, import.meta.url), 'utf8')
const random = numbersOf(SEED)
const of = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
const isOften = (share: number) => random() < share

let mintmark: TestService
let reporter: { id: string; secret: string }
let collector: Collector
let clickHouse: ClickHouse
const holders: { tenant: string; key: string }[] = []
const sent: Request[] = []
beforeAll(async () => {
  if (isMissing) return
  mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0' })
  for (const tenant of ['acme', 'blue'])
    holders.push({ tenant, key: (await mintmark.tenantWithKey({ id: tenant })).keyId })
  await mintmark.admin('PUT', '/models/base', {})
  reporter = await makeReporter(mintmark)
  clickHouse = await makeClickHouse()
  const additions = substitute(shipped('clickhouse.yaml'), [
    ['http://clickhouse:8123', clickHouse.url],
    ['mintmark_usage', clickHouse.user],
    ['$' + '{env:CLICKHOUSE_PASSWORD}', clickHouse.password],
  ])
  // ClickHouse does not run yet.
  collector = await startCollector({ url: receiverOf(mintmark), secret: reporter.secret }, [], additions)
}, 120_000)
afterAll(async () => {
  await collector?.stop()
  await clickHouse?.stop()
  await mintmark?.stop()
})

/** Numbers as gateways write them, and as none should. */
const count = () =>
  of([0, 1, 17, 40_000, '12', '7.0', '-', '', 'NaN', '1e3', '-5', 2.5, 9_007_199_254_740_991, '0012'])

/** Durations as gateways write them, and as none should, with their milliseconds. */
const DURATIONS: [written: string | number, ms: number][] = [
  ...([
    ['0', 0],
    ['59000', 59_000],
    [3_540_000, 3_540_000],
    ['0007200000.0', 7_200_000],
  ] as [string | number, number][]),
  ...['', '-', 'x', '-5', '1.5', '1e3'].map((written): [string, number] => [written, 0]),
]

function anyRequest(): Request {
  const more: Record<string, string | number> = {}
  const [written, ms] = of(DURATIONS)
  more['mintmark.request.duration_ms'] = written
  const say = (name: string, value: () => string | number, share = 0.7) => {
    if (isOften(share)) more[name] = value()
  }
  say('gen_ai.usage.input_tokens', count)
  say('gen_ai.usage.output_tokens', count)
  say('mintmark.usage.cached_input_tokens', count)
  say('mintmark.usage.output_events', count)
  say('http.request.body.size', count)
  say('http.response.body.size', count)
  say('http.response.status_code', () => of([200, 0, 499, 400, '503', '-', 'x']))
  say('mintmark.response_flags', () => of(['-', 'DC', 'UF,DR', 'DCX']), 0.2)
  if (isOften(0.5)) more['mintmark.outcome'] = of(['-', '', 'unknown', 'refused'])
  return {
    ...{ id: `raw-${sent.length}`, ...of(holders), at: Date.now() - ms, more },
    ...{ model: of(['base', 'base', '-']), outcome: of(['completed', 'cancelled', 'refused'] as const) },
  }
}

async function report(batches: number): Promise<void> {
  for (let batch = 0; batch < batches; batch++) {
    for (let number = 0; number < BATCH; number++) sent.push(anyRequest())
    // Half of them a second time.
    const records = logRecords([...sent.slice(-BATCH), ...sent.slice(-BATCH / 2)])
    await send(`http://127.0.0.1:${collector.httpPort}`, reporter.secret, records)
  }
}

const COUNTS =
  'requests, refused_requests, estimated_requests, input_tokens, cached_input_tokens, output_tokens'
const lines = (rows: Record<string, unknown>[]) => rows.map(row => Object.values(row).join(' '))

async function ofMintmark(): Promise<string[]> {
  return lines(
    await mintmark.database.asOwner(
      `SELECT to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS hour, tenant_id, key_id, model, ${COUNTS}
       FROM usage_totals WHERE reporter_id = $1 ORDER BY hour, tenant_id COLLATE "C", key_id COLLATE "C", model COLLATE "C"`,
      [reporter.id],
    ),
  )
}
async function ofClickHouse(): Promise<string[]> {
  return lines(
    await clickHouse.sql(
      `SELECT hour, tenant, key, model, ${COUNTS} FROM mintmark.usage(from = '2020-01-01 00:00:00', to = '2100-01-01 00:00:00')
       ORDER BY hour, tenant, key, model`,
    ),
  )
}
/** By the receiver's own count; so many were readable. */
async function readRecords(): Promise<number> {
  const [row] = await mintmark.database.asOwner<{ records: number }>(
    'SELECT count(*)::int AS records FROM usage_records WHERE reporter_id = $1',
    [reporter.id],
  )
  return row?.records ?? 0
}

it.skipIf(isMissing)(
  'Mintmark counts while ClickHouse is down, and afterwards the view has the same totals, of records of every kind',
  async () => {
    await report(3)
    await until('Mintmark counts without ClickHouse', readRecords, count => count > 2 * BATCH * 0.5, 60_000)
    await clickHouse.start()
    for (const statement of shipped('clickhouse.sql').split(';\n'))
      if (statement.trim() !== '') await clickHouse.sql(statement)
    await report(2)
    await clickHouse.kill()
    await report(2)
    await collector.kill()
    await collector.start()
    await clickHouse.start()
    await report(1)

    const rows = () =>
      clickHouse.sql(
        "SELECT uniqExact(LogAttributes['mintmark.request.id']) AS ids, count() AS all FROM mintmark.usage_records",
      )
    const [stored] = await until(
      'ClickHouse has all',
      rows,
      ([row]) => Number(row?.ids) === sent.length,
      120_000,
    )
    expect(Number(stored?.all)).toBeGreaterThan(sent.length)
    const expected = await ofClickHouse()
    expect(
      await until('Mintmark has them too', ofMintmark, rows => rows.join() === expected.join(), 60_000).catch(
        ofMintmark,
      ),
    ).toEqual(expected)
    expect(expected).toHaveLength(new Set(expected.map(line => line.split(' ').slice(0, 5).join())).size)
    expect(expected.length).toBeGreaterThanOrEqual(4)
  },
  300_000,
)
