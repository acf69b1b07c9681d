import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clocksIn, isTimeZone } from '../../src/system/time-zone.ts'
import { issue } from '../admin/admins.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { logRecords, makeReporter, type Request, receiverOf, send } from './reports.ts'

let mintmark: TestService
let admin: TestService['admin']
let reporter: { id: string; secret: string }
const keys: Record<string, string> = {}
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_OTLP_HTTP_PORT: '0' } })
  ;({ admin } = mintmark)
  for (const model of ['base', 'other']) await admin('PUT', `/models/${model}`, {})
  for (const id of ['acme', 'blue', 'corp'])
    keys[id] = (await mintmark.tenantWithKey({ id, labels: { team: id } })).keyId
  reporter = await makeReporter(mintmark)
  await send(receiverOf(mintmark), reporter.secret, logRecords(['acme', 'blue'].flatMap(of)))
  await mintmark.database.asOwner(`INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, output_tokens)
    SELECT hour, 'corp', '${keys.corp}', 'base', '${reporter.id}', '{}', 1, 7
    FROM generate_series('2026-03-28T00:00Z'::timestamptz, '2026-03-31T23:00Z', interval '1 hour') AS hour`)
})
afterAll(() => mintmark.stop())

const now = Date.now()
const of = (tenant: string): Request[] =>
  Array.from({ length: 40 }, (_, index) => ({
    id: `${tenant}-${index}`,
    tenant,
    key: keys[tenant] ?? '',
    at: now - 60_000,
    model: index < 10 ? 'other' : index < 12 ? 'never-registered' : 'base',
    outcome: index === 0 ? 'refused' : 'completed',
    input: 10,
    output: 5,
    cached: 2,
  }))

/** Names of before the regions, and abbreviations. */
const LEGACY_ZONES =
  'CET EET MET WET EST MST HST PST CST IST BST AST JST EST5EDT GMT UTC utc Zulu Japan Singapore Israel Turkey Egypt Navajo Poland Portugal Universal Greenwich GMT0 GMT+0 W-SU GB-Eire NZ-CHAT Cuba GB NZ US/Pacific Etc/GMT+5'.split(
    ' ',
  )

const THIS_MONTH = `from=${new Date(now - 2 * 3_600_000).toISOString()}`
const usage = async (query: string) => (await admin('GET', `/usage?${query}`)).body.data

describe('GET /usage', () => {
  it('sums by tenant and model; a name that is not registered is null', async () => {
    const rows = await usage(`${THIS_MONTH}&group_by=tenant,model`)
    expect(
      rows.map((row: Record<string, unknown>) => [row.tenant, row.model, row.requests, row.output_tokens]),
    ).toEqual([
      ['acme', null, 2, 10],
      ['acme', 'base', 28, 140],
      ['acme', 'other', 9, 45],
      ['blue', null, 2, 10],
      ['blue', 'base', 28, 140],
      ['blue', 'other', 9, 45],
    ])
    expect(rows[2]).toMatchObject({
      key: null,
      reporter: null,
      refused_requests: 1,
      input_tokens: 90,
      cached_input_tokens: 18,
    })
  })

  it('is one row without groups, and none where nothing was counted', async () => {
    expect(await usage(THIS_MONTH)).toMatchObject([{ tenant: null, requests: 78, refused_requests: 2 }])
    expect(await usage('from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z')).toEqual([])
  })

  it.each([
    ['tenant', 'tenant=acme', 39],
    ['two tenants', 'tenant=acme,blue', 78],
    ['model', 'model=other', 18],
    ['label', 'label=team=blue', 39],
    ['a label of any value', 'label=team', 78],
    ['another reporter', 'reporter=rep_0000000000000000', undefined],
  ])('filters by %s', async (_, filter, requests) => {
    expect((await usage(`${THIS_MONTH}&${filter}`))[0]?.requests).toBe(requests)
  })

  it('pages in a stable order, and reads each row once', async () => {
    const all = await usage(`${THIS_MONTH}&group_by=tenant,model,reporter`)
    const paged: unknown[] = []
    let cursor = ''
    do {
      const { body } = await admin(
        'GET',
        `/usage?${THIS_MONTH}&group_by=tenant,model,reporter&limit=4${cursor}`,
      )
      paged.push(...body.data)
      cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`
    } while (cursor !== '')
    expect(paged).toEqual(all)
    const { body } = await admin('GET', `/usage?${THIS_MONTH}&group_by=tenant&limit=1`)
    const other = await admin('GET', `/usage?${THIS_MONTH}&group_by=key&limit=1&cursor=${body.next_cursor}`)
    expect(other).toMatchObject({
      status: 400,
      body: { errors: [{ message: expect.stringContaining('another filter') }] },
    })
  })

  it('sums by a label, also of those that have none', async () => {
    const rows = await usage(`${THIS_MONTH}&group_by=label:team,model&model=base`)
    expect(rows).toMatchObject([
      { label: 'acme', tenant: null, model: 'base', requests: 28 },
      { label: 'blue', model: 'base', requests: 28 },
    ])
    expect(await usage(`${THIS_MONTH}&group_by=label:never&model=base`)).toMatchObject([
      { label: null, requests: 56 },
    ])
    // Names are anything, also in the position of a page.
    const label = `"ü’, \u{1f600}${'x'.repeat(150)}`
    await mintmark.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests)
       SELECT '2026-01-10T00:00Z'::timestamptz, 'corp', 'key_' || n, 'base', $1, jsonb_build_object('team', $2::text || n), n FROM generate_series(1, 3) AS n
       UNION ALL SELECT '2026-01-10T01:00Z', 'corp', '', 'base', $1, jsonb_build_object('team', $2::text || 1), 10`,
      [reporter.id, label],
    )
    const paged: { label: string; requests: number }[] = []
    let cursor = ''
    do {
      const query = `from=2026-01-10T00:00:00Z&to=2026-01-11T00:00:00Z&group_by=label:team&limit=1${cursor}`
      const { body } = await admin('GET', `/usage?${query}`)
      paged.push(...body.data)
      cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`
    } while (cursor !== '')
    expect(paged.map(row => [row.label, row.requests])).toEqual([
      [`${label}1`, 11],
      [`${label}2`, 2],
      [`${label}3`, 3],
    ])
    const csv = await admin(
      'GET',
      '/usage.csv?from=2026-01-10T00:00:00Z&to=2026-01-11T00:00:00Z&group_by=label:team',
    )
    expect(csv.text).toContain(`"${`${label}1`.replaceAll('"', '""')}"`)
  })

  it('begins the current month where the time zone does', async () => {
    await mintmark.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests)
       SELECT date_trunc('hour', now(), 'UTC'), 'zone', '', model, $1, '{}', 1 FROM unnest('{base,other}'::text[]) AS model`,
      [reporter.id],
    )
    const begun = async (zone: string) => new Date((await usage(`time_zone=${zone}&tenant=zone`))[0].start)
    const inUtc = await begun('UTC')
    expect([inUtc.getUTCDate(), inUtc.getUTCHours()]).toEqual([1, 0])
    // Ahead of UTC by 12 or 13 hours: the 1st begins on the last day of the month before.
    const there = await begun('Pacific/Auckland')
    expect(new Date(there.getTime() + 13 * 3_600_000).getUTCDate()).toBe(1)
    expect(there.getUTCDate()).not.toBe(1)
    await mintmark.database.asOwner("DELETE FROM usage_totals WHERE tenant_id = 'zone'")
  })

  it('begins days where the time zone does, also when clocks change', async () => {
    const range = 'from=2026-03-28T00:00:00Z&to=2026-04-01T00:00:00Z&tenant=corp&group_by=day'
    const days = async (zone: string) =>
      (await usage(`${range}&time_zone=${zone}`)).map((row: { start: string; requests: number }) => [
        row.start,
        row.requests,
      ])
    expect((await days('UTC')).map(([, requests]: [string, number]) => requests)).toEqual([24, 24, 24, 24])
    expect(await days('Europe/Berlin')).toEqual([
      ['2026-03-27T23:00:00.000Z', 23],
      ['2026-03-28T23:00:00.000Z', 23],
      ['2026-03-29T22:00:00.000Z', 24],
      ['2026-03-30T22:00:00.000Z', 24],
      ['2026-03-31T22:00:00.000Z', 2],
    ])
  })

  it('has every time zone that it accepts from Postgres as the command line has it from Node.js', async () => {
    const names = [...Intl.supportedValuesOf('timeZone'), ...LEGACY_ZONES].filter(isTimeZone)
    // Not today: Node.js and Postgres learn of new rules at different times.
    const times = ['2019-01-15T12:00:00Z', '2019-07-15T12:00:00Z']
    const rows = await mintmark.database.asOwner<{ name: string; at: Date; local: string }>(
      `SELECT zone.name, at, to_char(at AT TIME ZONE zone.name, 'DD HH24:MI') AS local FROM unnest($1::text[]) AS zone (name)
        JOIN pg_timezone_names AS known ON lower(known.name) = lower(zone.name), unnest($2::timestamptz[]) AS at`,
      [names, times],
    )
    expect(rows.length).toBeGreaterThan(800)
    const two = (number: number) => String(number).padStart(2, '0')
    const differs = rows.filter(({ name, at, local }) => {
      const { day, hour, minute } = clocksIn(name)(at.getTime())
      return local !== `${two(day)} ${two(hour)}:${two(minute)}`
    })
    expect(differs).toEqual([])
  })

  it('shows a tenant-admin its own tenant only, whatever it asks for', async () => {
    const own = await issue(mintmark, 'tenant-admin', 'blue')
    for (const query of ['group_by=tenant', 'group_by=tenant&tenant=blue,acme', 'group_by=tenant,key']) {
      const { body } = await own.call('GET', `/usage?${THIS_MONTH}&${query}`)
      expect(body.data.map(({ tenant }: { tenant: string }) => tenant)).toEqual(['blue'])
    }
    expect((await own.call('GET', `/usage?${THIS_MONTH}&tenant=acme`)).body.data).toEqual([])
    expect((await own.call('GET', '/usage-reporters')).status).toBe(403)
  })

  it.each([
    ['two units of time', 'group_by=hour,day'],
    ['an unknown group', 'group_by=colour'],
    ['an unknown time zone', 'time_zone=Mars/Olympus'],
    ['a time zone that Postgres does not know', 'time_zone=US/Pacific-New'],
    ['an abbreviation, which Postgres reads without summer time', 'time_zone=CET'],
    ['an abbreviation, which is another zone in Postgres', 'time_zone=IST'],
    ['two labels', 'group_by=label:team,label:owner'],
    ['a label without a name', 'group_by=label:'],
    ['two lists of groups', 'group_by=tenant&group_by=key'],
    ['an offset, which Postgres reads the other way round', 'time_zone=%2B02:00'],
    ['an end before the beginning', 'from=2026-03-01T00:00:00Z&to=2026-02-01T00:00:00Z'],
  ])('rejects %s', async (_, query) => {
    expect((await admin('GET', `/usage?${query}`)).status).toBe(400)
  })

  it('is also a CSV file', async () => {
    const { text, headers } = await admin('GET', `/usage.csv?${THIS_MONTH}&group_by=tenant`)
    expect(headers.get('content-type')).toMatch(/^text\/csv/)
    const [names, acme, blue, end] = text.split('\r\n')
    expect(names).toBe(
      'tenant,key,model,reporter,label,start,requests,refused_requests,input_tokens,cached_input_tokens,output_tokens,estimated_requests,adjusted_requests',
    )
    expect(acme).toMatch(/^acme,,,,,[^,]+,39,1,390,78,195,0,0$/)
    expect(blue).toMatch(/^blue,/)
    expect(end).toBe('')
  })

  it('has at most 20,000 rows as a CSV file', async () => {
    const insert = (from: number, to: number) =>
      mintmark.database.asOwner(
        `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests)
         SELECT '2026-02-10T00:00Z', 'corp', 'key_' || n, 'base', $1, '{}', 1 FROM generate_series($2::int, $3::int) AS n`,
        [reporter.id, from, to],
      )
    const csv = () =>
      admin('GET', '/usage.csv?from=2026-02-10T00:00:00Z&to=2026-02-10T01:00:00Z&group_by=key')
    await insert(1, 20_000)
    const whole = await csv()
    expect([whole.status, whole.text.split('\r\n').length]).toEqual([200, 1 + 20_000 + 1])
    await insert(20_001, 20_001)
    expect(await csv()).toMatchObject({
      status: 400,
      text: expect.stringContaining('has more than 20000 rows: filter or group them'),
    })
  })
})

describe("OpenAI's client", () => {
  const client = (secret: string) =>
    new OpenAI({
      apiKey: 'unused',
      adminAPIKey: secret,
      baseURL: `${mintmark.service.urls.admin}/v1`,
      maxRetries: 0,
    }).admin.organization.usage
  const start_time = Math.floor(now / 1000) - 2 * 3600

  it('reads usage by project and model', async () => {
    const page = await client(mintmark.rootToken).completions({
      start_time,
      bucket_width: '1h',
      group_by: ['project_id', 'model'],
      models: ['base', 'other'],
      project_ids: ['acme', 'blue'],
    })
    expect(page).toMatchObject({ object: 'page', has_more: false })
    expect(page.data.length).toBeGreaterThanOrEqual(3)
    expect(page.data.flatMap(({ results }) => results)).toMatchObject([
      { project_id: 'acme', model: 'base', num_model_requests: 28, input_tokens: 280, output_tokens: 140 },
      { project_id: 'acme', model: 'other', num_model_requests: 9, input_cached_tokens: 18 },
      { project_id: 'blue', model: 'base', num_model_requests: 28 },
      { project_id: 'blue', model: 'other', num_model_requests: 9 },
    ])
  })

  it('has no further page after a bucket that ends with the time that was asked for', async () => {
    const hour = Math.floor(now / 3_600_000) * 3600
    const of = (end_time: number) =>
      client(mintmark.rootToken).completions({
        start_time: hour - 3600,
        end_time,
        bucket_width: '1h',
        limit: 1,
      })
    expect(await of(hour)).toMatchObject({ has_more: false, next_page: null })
    expect(await of(hour + 1)).toMatchObject({ has_more: true, next_page: String(hour) })
  })

  it('pages by time, and sees one tenant only with the token of one', async () => {
    const usage = client((await issue(mintmark, 'tenant-admin', 'blue')).secret)
    const sums: number[] = []
    let page: string | undefined
    do {
      const found = await usage.completions({
        start_time,
        bucket_width: '1h',
        limit: 1,
        ...(page && { page }),
      })
      expect(found.data).toHaveLength(1)
      sums.push(
        ...found.data.flatMap(({ results }) =>
          results.map(row => (row as { output_tokens: number }).output_tokens),
        ),
      )
      page = found.next_page ?? undefined
    } while (page !== undefined)
    expect(sums).toEqual([195])
    await expect(client('mma_wrong').completions({ start_time })).rejects.toMatchObject({ status: 401 })
    // Without them the numbers would be those of other requests.
    for (const filter of [{ bucket_width: '1m' }, { user_ids: ['u'] }, { batch: true }] as const)
      await expect(
        client(mintmark.rootToken).completions({ start_time, ...(filter as object) }),
      ).rejects.toMatchObject({ status: 400 })
  })
})

describe('A closed month', () => {
  it('keeps its totals: what is taken back is booked where it is taken back', async () => {
    const march = 'from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z&tenant=corp'
    const before = await usage(march)
    expect((await admin('POST', '/usage/close', { month: '2099-01' })).body).toMatchObject({
      code: 'month_not_over',
    })
    const closed = await admin('POST', '/usage/close', { month: '2026-03' })
    expect(closed).toMatchObject({ status: 200 })
    expect(await usage(march)).toEqual(before)
  })

  it('takes no more records: they are counted where they arrive', async () => {
    const other = await makeReporter(mintmark)
    await mintmark.database.asOwner(
      "UPDATE usage_ledger SET open_from = date_trunc('hour', now(), 'UTC') + interval '1 hour'",
    )
    try {
      const one = { ...(of('acme')[20] as Request), id: 'late', at: Date.now() - 55 * 60_000 }
      await send(receiverOf(mintmark), other.secret, logRecords([one]))
      await send(receiverOf(mintmark), other.secret, logRecords([one]))
      const [row] = await usage(`${THIS_MONTH}&reporter=${other.id}&group_by=hour`)
      expect(row).toMatchObject({ requests: 1, output_tokens: 5 })
      expect(Date.now() - Date.parse(row.start)).toBeLessThan(3_600_000)
    } finally {
      await mintmark.database.asOwner("UPDATE usage_ledger SET open_from = '-infinity'")
    }
  })
})

describe('A voided reporter', () => {
  it('loses what it sent since then, and keeps what it sent before', async () => {
    const stolen = await makeReporter(mintmark)
    // Of two hours: a request of before may be reported afterwards.
    const part = (name: string) =>
      of('corp').map((each, index) => ({
        ...each,
        id: `${name}-${each.id}`,
        at: Date.now() - (index % 2) * 50 * 60_000 - 60_000,
      }))
    await send(receiverOf(mintmark), stolen.secret, logRecords(part('honest')))
    const since = new Date().toISOString()
    await send(receiverOf(mintmark), stolen.secret, logRecords(part('forged')))
    const own = () => usage(`${THIS_MONTH}&reporter=${stolen.id}`)
    expect(await own()).toMatchObject([{ requests: 78, output_tokens: 390 }])
    const path = `/usage-reporters/${stolen.id}`
    const body = { since, reason: 'stolen' }
    expect((await admin('POST', `${path}/void`, body)).body).toMatchObject({ code: 'usage_reporter_active' })
    await admin('DELETE', path)
    expect((await admin('POST', `${path}/void`, body)).body).toEqual({
      requests: 39,
      input_tokens: 390,
      output_tokens: 195,
    })
    expect(await own()).toMatchObject([{ requests: 39, refused_requests: 1, output_tokens: 195 }])
    expect((await admin('POST', `${path}/void`, body)).body).toMatchObject({ requests: 0 })
    await expect(send(receiverOf(mintmark), stolen.secret, logRecords(part('later')))).rejects.toThrow()
    expect(await own()).toMatchObject([{ requests: 39 }])
  })

  it('in a closed month: the current hour has the correction, once', async () => {
    const old = await makeReporter(mintmark)
    const hour = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth(), 0)).toISOString()
    await mintmark.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, refused_requests, output_tokens)
       VALUES ($1, 'corp', '', 'base', $2, '{"team": "then"}', 5, 2, 50)`,
      [hour, old.id],
    )
    await admin('DELETE', `/usage-reporters/${old.id}`)
    await mintmark.database.asOwner("UPDATE usage_ledger SET open_from = date_trunc('month', now(), 'UTC')")
    const body = { reason: 'stolen' }
    const voided = (since = hour) => admin('POST', `/usage-reporters/${old.id}/void`, { ...body, since })
    const read = () => usage(`from=${hour}&reporter=${old.id}&group_by=hour`)
    const corrected = [
      { requests: 5, refused_requests: 2, output_tokens: 50, adjusted_requests: 0 },
      { requests: -5, refused_requests: -2, output_tokens: -50, adjusted_requests: 7 },
    ]
    const later = new Date(Date.parse(hour) + 3_600_000).toISOString()
    // At the same time: on a busy machine the database may be late, and 503 is repeated. A later time gives nothing back.
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        until(
          'it is voided',
          () => voided(index % 2 === 0 ? hour : later),
          ({ status }) => status === 200,
        ),
      ),
    )
    const rows = await read()
    expect(rows).toMatchObject(corrected)
    // Each reports what it took itself.
    expect(answers.reduce((all, { body: { requests } }) => all + requests, 0)).toBe(5)
    const again = await until(
      'it is voided again',
      () => voided(later),
      ({ status }) => status === 200,
    )
    expect(again.body.requests).toBe(0)
    expect(await read()).toMatchObject(corrected)
    // Charges by a label get smaller too.
    expect(await usage(`from=${hour}&reporter=${old.id}&group_by=hour&label=team=then`)).toEqual(rows)
    await mintmark.database.asOwner("UPDATE usage_ledger SET open_from = '-infinity'")
  })
})
