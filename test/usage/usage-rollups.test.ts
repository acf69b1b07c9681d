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
     SELECT hour, 't' || tenant, 'k' || tenant, model, $1,
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
const usage = async (query: string): Promise<Row[]> => {
  const { status, text, body } = await mintmark.admin('GET', `/usage?limit=1000&from=${FROM}&${query}`)
  if (status !== 200) throw new Error(text)
  return body.data
}
const NUMBERS = ['requests', 'refused_requests', 'input_tokens', 'output_tokens'] as const

/** The same sums, from hours: those are never read from days. */
async function fromHours(unit: string, by: string, timeZone: string, filter: string): Promise<Row[]> {
  const groups = ['hour', ...by.split(',').filter(Boolean)].join(',')
  const hours: Row[] = []
  for (let cursor = ''; ; ) {
    const { body } = await mintmark.admin(
      'GET',
      `/usage?limit=1000&from=${FROM}&group_by=${groups}&${filter}${cursor}`,
    )
    hours.push(...body.data)
    if (!body.next_cursor) break
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`
  }
  const local = new Intl.DateTimeFormat('en-CA', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  })
  const sums = new Map<string, Row>()
  for (const row of hours) {
    const day = local.format(new Date(String(row.start)))
    const time = unit === 'day' ? day : unit === 'month' ? day.slice(0, 7) : ''
    const name = [time, row.tenant, row.key, row.model].join(' ')
    const sum = sums.get(name) ?? {
      name,
      requests: 0,
      refused_requests: 0,
      input_tokens: 0,
      output_tokens: 0,
    }
    for (const number of NUMBERS) sum[number] = Number(sum[number]) + Number(row[number])
    sums.set(name, sum)
  }
  return [...sums.values()]
}

const QUERIES: [unit: string, by: string, timeZone: string, filter: string][] = [
  ['', '', 'UTC', ''],
  ['', 'tenant,model', 'UTC', ''],
  ['month', 'tenant', 'UTC', ''],
  ['month', 'tenant,key,model', 'UTC', 'tenant=t1,t2&model=base'],
  ['day', 'tenant', 'UTC', 'tenant=t3'],
  ['month', 'tenant', 'Europe/Berlin', ''],
  ['month', '', 'Asia/Kolkata', ''],
  ['day', '', 'America/New_York', ''],
  ['', 'tenant', 'UTC', 'label=team=old'],
  ['month', 'tenant', 'UTC', 'label=team=new'],
]

async function expectSame(): Promise<void> {
  for (const [unit, by, timeZone, filter] of QUERIES) {
    const groups = [unit, ...by.split(',')].filter(Boolean).join(',')
    const zone = encodeURIComponent(timeZone)
    const found = await usage(`group_by=${groups}&time_zone=${zone}&${filter}`)
    const plain = await fromHours(unit, by, timeZone, filter)
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
    const [before] = await usage('group_by=')
    await mintmark.database.asOwner(
      "UPDATE usage_rollups SET requests = requests + 1000 WHERE unit = 'month'",
    )
    const [after] = await usage('group_by=')
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
      'UPDATE usage_totals SET requests = 0, output_tokens = 1 WHERE hour = $1 AND reporter_id = $2',
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
