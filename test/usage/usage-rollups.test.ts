import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { Unavailable } from '../../src/errors.ts'
import { CurrentPolicy } from '../../src/installation/current-policy.ts'
import { createLogger } from '../../src/system/logger.ts'
import { UsageRecords } from '../../src/usage/usage-records.ts'
import { nextRollup, rollUp } from '../../src/usage/usage-rollup-repository.ts'
import { PATIENT } from '../support/patient.ts'
import { repeatedWhileUnavailable } from '../support/repeated-while-unavailable.ts'
import { numbersOf } from '../support/seeded-numbers.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { makeReporter } from './reports.ts'

/** Days and months that are summed once: the same answers as from the hours, whatever is corrected afterwards. */

const KEPT = { dedupSeconds: 3_600, retentionDays: 400 }
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
/** Printed with what differs. */
const SEED = Math.floor(Date.now() / HOUR_MS)
const today = Math.floor(Date.now() / DAY_MS) * DAY_MS
const FROM = new Date(today - 100 * DAY_MS).toISOString()

let mintmark: TestService
let database: Database
let reporter: string
beforeAll(async () => {
  mintmark = await startTestService()
  const url = mintmark.database.applicationUrl
  database = new Database({
    url: () => url,
    maxConnections: 2,
    logger: createLogger('silent'),
    timeouts: PATIENT,
  })
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
    const { status, text, body } = await repeatedWhileUnavailable(() =>
      mintmark.admin('GET', `/usage?limit=100&${query}${cursor}`),
    )
    if (status !== 200) throw new Error(text)
    rows.push(...body.data)
    if (!body.next_cursor) return rows
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`
  }
}
const NUMBERS = ['requests', 'refused_requests', 'input_tokens', 'output_tokens'] as const
const COLUMNS: Record<string, string> = { tenant: 'tenant_id', key: 'key_id', model: 'model' }
interface Range {
  from: string
  to: string
}
const UNTIL_NOW: Range = { from: FROM, to: new Date().toISOString() }

/** The same sums, by plain SQL from the hours: a day is what local time calls so. */
async function fromHours([unit, by, timeZone, , where]: Question, { from, to }: Range): Promise<Row[]> {
  const names = by.split(',').filter(Boolean)
  const groups = [
    // The two hours of one name when clocks are set back are two, and in one day.
    ...(unit === 'hour' ? [`date_trunc('hour', hour, '${timeZone}')`] : []),
    ...(unit && unit !== 'hour' ? [`date_trunc('${unit}', hour AT TIME ZONE '${timeZone}')`] : []),
    ...names.map(name => COLUMNS[name] ?? ''),
  ]
  return mintmark.database.asOwner(
    `SELECT ${[...names.map(name => `${COLUMNS[name]} AS ${name}`), ...NUMBERS.map(name => `sum(${name}) AS ${name}`)].join(', ')}
     FROM usage_totals WHERE hour >= $1 AND hour < $2 AND ${where || 'true'}
     ${groups.length > 0 ? `GROUP BY ${groups.join(', ')}` : 'HAVING count(*) > 0'}
     ORDER BY ${[...groups.map(group => `${group}${group.startsWith('date') ? '' : ' COLLATE "C"'}`), '1'].join(', ')}`,
    [from, to],
  )
}

type Question = [unit: string, by: string, timeZone: string, filter: string, where: string]
const QUESTIONS: Question[] = [
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
  ['day', '', 'America/Havana', '', ''],
  ['month', 'tenant', 'Pacific/Chatham', '', ''],
  ['month', 'tenant', 'America/Los_Angeles', 'label=team=old', "labels ->> 'team' = 'old'"],
  ['hour', 'tenant', 'Asia/Kolkata', 'tenant=t2&model=other', "tenant_id = 't2' AND model = 'other'"],
  ['', 'tenant', 'UTC', 'label=team=old', "labels ->> 'team' = 'old'"],
  ['month', 'tenant', 'UTC', 'label=team=new', "labels ->> 'team' = 'new'"],
]
const ODD_ZONES = [
  'America/Havana',
  'Asia/Beirut',
  'Africa/Cairo',
  'America/Asuncion',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
]

/** Row by row, in the same order. */
async function expectOne(question: Question, range: Range, about = ''): Promise<void> {
  const [unit, by, timeZone, filter] = question
  const groups = [unit, ...by.split(',')].filter(Boolean)
  const path = `from=${range.from}&to=${range.to}&group_by=${groups.join(',')}&time_zone=${encodeURIComponent(timeZone)}&${filter}`
  const found = await usage(path)
  const plain = await fromHours(question, range)
  const names = by.split(',').filter(Boolean)
  const lines = (rows: Row[]) =>
    rows.map(row => [...names.map(name => row[name]), ...NUMBERS.map(name => Number(row[name]))].join(' '))
  expect({ about, path, rows: lines(found) }).toEqual({ about, path, rows: lines(plain) })
}

async function expectSame(): Promise<void> {
  for (const question of QUESTIONS) await expectOne(question, UNTIL_NOW)
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
    expect(done.filter(unit => unit === 'five_days').length).toBeGreaterThanOrEqual(18)
    expect(done.filter(unit => unit === 'month').length).toBeGreaterThanOrEqual(2)
    await expectSame()
  })

  it('are read as their hours are, whatever is asked: 150 random questions', async () => {
    const random = numbersOf(SEED)
    const of = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
    const known = await mintmark.database.asOwner<{ name: string }>('SELECT name FROM pg_timezone_names')
    const names = new Set(known.map(({ name }) => name))
    const zones = [
      ...Intl.supportedValuesOf('timeZone').filter(zone => names.has(zone)),
      // Of which more is special: clocks change at midnight, or by half an hour.
      ...Array.from({ length: 40 }, (_, number) => ODD_ZONES[number % ODD_ZONES.length] ?? 'UTC'),
    ]
    for (let number = 0; number < 150; number++) {
      const begin = today - Math.floor(random() * 105 * 24) * HOUR_MS
      const end = begin + Math.floor(random() * 100 * 24) * HOUR_MS
      const range = {
        from: new Date(begin).toISOString(),
        to: new Date(Math.min(end, Date.now())).toISOString(),
      }
      const timeZone = of(zones)
      const unit = of(['day', 'month', 'month', 'hour', ''] as const)
      const by = (['tenant', 'key', 'model'] as const).filter(() => random() < 0.3)
      if (range.to <= range.from || (unit === 'hour' && by.length > 0)) continue
      const [filter, where] = of([
        ...[['', ''] as const, ['tenant=t2', "tenant_id = 't2'"] as const],
        ['label=team=old&model=base', "labels ->> 'team' = 'old' AND model = 'base'"] as const,
      ])
      await expectOne(
        [unit, by.join(','), timeZone, filter, where],
        range,
        `question ${number} of seed ${SEED}`,
      )
    }
  }, 120_000)

  it('are what is read, and not the hours', async () => {
    const [before] = await usage(`from=${FROM}`)
    await mintmark.database.asOwner(
      "UPDATE usage_rollups SET requests = requests + 1000 WHERE unit = 'month'",
    )
    const [after] = await usage(`from=${FROM}`)
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

  it('are not made of a day that has changed since they were chosen', async () => {
    const start = new Date(
      Date.UTC(
        new Date(today - 40 * DAY_MS).getUTCFullYear(),
        new Date(today - 40 * DAY_MS).getUTCMonth(),
        6,
      ),
    )
    const longer = { unit: 'five_days', start, finish: new Date(start.getTime() + 5 * DAY_MS) } as const
    await mintmark.database.asOwner(
      'UPDATE usage_totals SET requests = requests + 5 WHERE hour = $1 AND reporter_id = $2',
      [start.toISOString(), reporter],
    )
    await database.write(trx => rollUp(trx, longer))
    await expectSame()
    await rollAll()
    await expectSame()
  })

  it('are summed around a day that cannot be, which is read from its hours and tried again', async () => {
    const policy = new CurrentPolicy({ database })
    ;(await policy.load())()
    const records = new UsageRecords({ database, policy, now: Date.now })
    // More than a column has room for, as too many rows are more than there is time for.
    const day = today - 45 * DAY_MS
    const hours = [new Date(day).toISOString(), new Date(day + HOUR_MS).toISOString()]
    await mintmark.database.asOwner(
      `UPDATE usage_totals SET input_tokens = 9e18 WHERE hour = ANY ($1) AND tenant_id = 't1' AND model = 'base'`,
      [hours],
    )
    await mintmark.database.asOwner('DELETE FROM usage_rolled WHERE start >= $1', [hours[0]])
    const failed: unknown[] = []
    const rollNext = () =>
      records.rollUp().catch(error => {
        if (error instanceof Unavailable) throw error
        failed.push(error)
        return error
      })
    const rollAround = async () => {
      while ((await rollNext()) !== undefined);
    }
    await rollAround()
    expect(failed.length).toBeGreaterThan(0)
    const [summed] = await mintmark.database.asOwner<{ days: number }>(
      "SELECT count(*)::int AS days FROM usage_rolled WHERE unit = 'day' AND start >= $1",
      [hours[0]],
    )
    expect(summed?.days).toBeGreaterThanOrEqual(43)
    await expectOne(['day', 'tenant', 'UTC', 'tenant=t2', "tenant_id = 't2'"], UNTIL_NOW)
    const before = failed.length
    await rollAround()
    expect(failed.length).toBeGreaterThan(before)
    const then = failed.length
    await mintmark.database.asOwner('UPDATE usage_totals SET input_tokens = 1 WHERE hour = ANY ($1)', [hours])
    await rollAround()
    expect(failed).toHaveLength(then)
    await expectSame()
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
