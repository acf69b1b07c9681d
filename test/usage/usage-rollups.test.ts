import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { createLogger } from '../../src/system/logger.ts'
import { nextRollup, rollUp } from '../../src/usage/usage-rollup-repository.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { makeReporter } from './reports.ts'

/** Days and months that are summed once: the same answers as from the hours, whatever is corrected afterwards. */

const KEPT = { dedupSeconds: 3_600, retentionDays: 400 }
const DAY_MS = 86_400_000
const today = Math.floor(Date.now() / DAY_MS) * DAY_MS
const FROM = new Date(today - 100 * DAY_MS).toISOString()

let mintmark: TestService
let database: Database
let reporter: string
beforeAll(async () => {
  mintmark = await startTestService()
  const url = mintmark.database.applicationUrl
  database = new Database({ url: () => url, maxConnections: 2, logger: createLogger('silent') })
  reporter = (await makeReporter(mintmark)).id
  // Every hour of 100 days: three tenants, two models, and labels that change in the middle of a day.
  await mintmark.database.asOwner(
    `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, refused_requests, input_tokens, output_tokens)
     SELECT hour, 't' || tenant, 'key_' || lpad(tenant::text, 16, '0'), model, $1,
       jsonb_build_object('team', CASE WHEN hour < $2::timestamptz THEN 'old' ELSE 'new' END),
       1 + extract(hour FROM hour), tenant, extract(day FROM hour), 7
     FROM generate_series($3::timestamptz, now(), interval '1 hour') AS hour, generate_series(1, 3) AS tenant,
       unnest(ARRAY['base', 'other']) AS model`,
    [reporter, new Date(today - 50 * DAY_MS + DAY_MS / 2).toISOString(), FROM],
  )
})
afterAll(async () => {
  await database?.close()
  await mintmark?.stop()
})

/** Sums all that can be; returns what. */
async function rollAll(): Promise<string[]> {
  const done: string[] = []
  for (;;) {
    const next = await database.run(db => nextRollup(db, KEPT))
    if (!next) return done
    await database.write(trx => rollUp(trx, next))
    done.push(next.unit)
  }
}

type Row = Record<string, string | number | null>
/** All pages. */
async function usage(query: string): Promise<Row[]> {
  const rows: Row[] = []
  for (let cursor = ''; ; ) {
    const { status, text, body } = await mintmark.admin(
      'GET',
      `/usage?limit=100&from=${FROM}&${query}${cursor}`,
    )
    if (status !== 200) throw new Error(text)
    rows.push(...body.data)
    if (!body.next_cursor) return rows
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`
  }
}
const NUMBERS = ['requests', 'refused_requests', 'input_tokens', 'output_tokens'] as const

/** The same sums, by plain SQL from the hours. */
async function fromHours(unit: string, by: string, timeZone: string, where: string): Promise<Row[]> {
  const columns: Record<string, string> = { tenant: 'tenant_id', key: 'key_id', model: 'model' }
  const groups = by
    .split(',')
    .filter(Boolean)
    .map(name => columns[name] ?? '')
  if (unit) groups.push(`date_trunc('${unit}', hour, '${timeZone}')`)
  return mintmark.database.asOwner(
    `SELECT ${NUMBERS.map(name => `sum(${name}) AS ${name}`).join(', ')} FROM usage_totals
     WHERE hour >= $1 AND ${where || 'true'} ${groups.length > 0 ? `GROUP BY ${groups.join(', ')}` : ''}`,
    [FROM],
  )
}

const QUERIES: [unit: string, by: string, timeZone: string, filter: string, where: string][] = [
  ['', '', 'UTC', '', ''],
  ['', 'tenant,model', 'UTC', '', ''],
  ['month', 'tenant', 'UTC', '', ''],
  [
    'month',
    'tenant,key,model',
    'UTC',
    'tenant=t1,t2&model=base',
    "tenant_id IN ('t1', 't2') AND model = 'base'",
  ],
  ['day', 'tenant', 'UTC', 'tenant=t3', "tenant_id = 't3'"],
  ['month', 'tenant', 'Europe/Berlin', '', ''],
  ['month', '', 'Asia/Kolkata', '', ''],
  ['day', '', 'America/New_York', '', ''],
  ['day', 'tenant', 'Asia/Kathmandu', '', ''],
  ['day', 'tenant,model', 'Pacific/Auckland', 'tenant=t1', "tenant_id = 't1'"],
  ['month', 'tenant', 'Pacific/Chatham', '', ''],
  ['month', 'tenant', 'America/Los_Angeles', 'label=team=old', "labels ->> 'team' = 'old'"],
  ['hour', 'tenant', 'Asia/Kolkata', 'tenant=t2&model=other', "tenant_id = 't2' AND model = 'other'"],
  ['', 'tenant', 'UTC', 'label=team=old', "labels ->> 'team' = 'old'"],
  ['month', 'tenant', 'UTC', 'label=team=new', "labels ->> 'team' = 'new'"],
]

async function expectSame(): Promise<void> {
  for (const [unit, by, timeZone, filter, where] of QUERIES) {
    const groups = [unit, ...by.split(',')].filter(Boolean).join(',')
    const zone = encodeURIComponent(timeZone)
    const found = await usage(`group_by=${groups}&time_zone=${zone}&${filter}`)
    const plain = await fromHours(unit, by, timeZone, where)
    const numbers = (rows: Row[]) =>
      rows.map(row => NUMBERS.map(name => Number(row[name])).join(' ')).toSorted()
    expect({ groups, timeZone, filter, sums: numbers(found) }).toEqual({
      ...{ groups, timeZone, filter, sums: numbers(plain) },
    })
  }
}
const rolled = async () => {
  const rows = await mintmark.database.asOwner<{ unit: string; count: number }>(
    'SELECT unit, count(*)::int AS count FROM usage_rolled GROUP BY unit ORDER BY unit',
  )
  return Object.fromEntries(rows.map(({ unit, count }) => [unit, count]))
}

describe('Days and months that are summed', () => {
  it('are read as their hours are, in any group, time zone and with any filter', async () => {
    const done = await rollAll()
    expect(done.filter(unit => unit === 'day').length).toBeGreaterThanOrEqual(98)
    expect(done.filter(unit => unit === 'month').length).toBeGreaterThanOrEqual(2)
    await expectSame()
  })

  it('are what is read, and not the hours', async () => {
    const [before] = await usage('')
    await mintmark.database.asOwner(
      "UPDATE usage_rollups SET requests = requests + 1000 WHERE unit = 'month'",
    )
    const [after] = await usage('')
    expect(Number(after?.requests)).toBeGreaterThan(Number(before?.requests) + 10_000)
    await mintmark.database.asOwner(
      "UPDATE usage_rollups SET requests = requests - 1000 WHERE unit = 'month'",
    )
  })

  it('are summed again after a record, a correction or a deletion of an hour, and until then read from the hours', async () => {
    const before = await rolled()
    const hour = new Date(today - 40 * DAY_MS + 5 * 3_600_000).toISOString()
    for (const statement of [
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests) VALUES ($1, 't9', '', '', $2, '{}', 3)
       ON CONFLICT (tenant_id, hour, key_id, model, reporter_id) DO UPDATE SET requests = usage_totals.requests + 3`,
      'UPDATE usage_totals SET requests = 1, output_tokens = 1 WHERE hour = $1 AND reporter_id = $2',
      'DELETE FROM usage_totals WHERE hour = $1 AND reporter_id = $2',
    ]) {
      await mintmark.database.asOwner(statement, [hour, reporter])
      await expectSame()
      await rollAll()
      expect(await rolled()).toEqual(before)
      await expectSame()
    }
  })

  it('are forgotten with the hours that are not kept any more', async () => {
    await mintmark.admin('PATCH', '/installation', { usage_retention_days: 60 })
    const kept = { dedupSeconds: 3_600, retentionDays: 60 }
    for (;;) {
      const [{ pruned } = { pruned: 0 }] = await mintmark.database.asOwner<{ pruned: number }>(
        "SELECT prune_usage_totals(interval '60 days')::int AS pruned",
      )
      if (pruned === 0) break
    }
    await expectSame()
    // The day of which hours are lost is not summed again.
    const next = await database.run(db => nextRollup(db, kept))
    expect(next?.unit).not.toBe('day')
  })
})
