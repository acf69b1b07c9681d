import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../support/new-key.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { makeReporter } from './reports.ts'

/**
 * What a voided reporter sent is taken back, and nothing else, whatever is still stored of it. Times are in hours from the beginning of the
 * current one: -1.5 is in the middle of the hour before the last.
 */

const HOUR_MS = 3_600_000
/** From -8 to -4: a policy that was raised just now, and records that were removed under the one before. */
const REMOVED = [-8, -7, -6, -5, -4]

let mintmark: TestService
let key: string
let begun: number
beforeAll(async () => {
  mintmark = await startTestService()
  await mintmark.admin('PUT', '/models/base', {})
  await mintmark.admin('POST', '/tenants', { id: 'acme', models: ['base'] })
  key = (await newKey(mintmark, 'acme')).id
  // A day: no month closes by itself while the hours below are in it.
  const raised = await mintmark.admin('PATCH', '/installation', { policy: { usage_dedup_seconds: 86_400 } })
  expect(raised.status).toBe(200)
  begun = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
})
afterAll(() => mintmark.stop())

const at = (hours: number) => new Date(begun + hours * HOUR_MS).toISOString()
const owner = (statement: string, values: unknown[] = []) => mintmark.database.asOwner(statement, values)

interface Sent {
  requests: number
  /** The hour of the requests. */
  of: number
  received: number
  /** Where it is counted; undefined: in its hour. */
  booked?: number
}

/** As it was reported then. */
async function sent(reporter: string, { requests, of, received, booked = of }: Sent) {
  await owner(
    `INSERT INTO usage_records SELECT floor(extract(epoch FROM $3::timestamptz) / 3600)::bigint % 32, $3, $2, sha256($6 || number::text::bytea),
       $4, $5, 'acme', $1, 'base', false, false, 10, 2, 5 FROM generate_series(1, $7::int) AS number`,
    [key, reporter, at(of), at(received), at(booked), randomBytes(16), requests],
  )
  await owner(
    `INSERT INTO usage_totals AS t (hour, tenant_id, key_id, model, reporter_id, labels, requests, adjusted_requests, input_tokens, cached_input_tokens, output_tokens)
     VALUES ($1, 'acme', $2, 'base', $3, '{"team": "then"}', $4::int, $5::int, $4::int * 10, $4::int * 2, $4::int * 5)
     ON CONFLICT (tenant_id, hour, key_id, model, reporter_id) DO UPDATE SET requests = t.requests + excluded.requests,
       adjusted_requests = t.adjusted_requests + excluded.adjusted_requests, input_tokens = t.input_tokens + excluded.input_tokens,
       cached_input_tokens = t.cached_input_tokens + excluded.cached_input_tokens, output_tokens = t.output_tokens + excluded.output_tokens`,
    [at(booked), key, reporter, requests, booked === of ? 0 : requests],
  )
}

/** As a partition is emptied. */
const removed = (...hours: number[]) =>
  owner('DELETE FROM usage_records WHERE hour = ANY ($1::timestamptz[])', [hours.map(at)])

const monthsAreClosedBefore = (hours: number | undefined) =>
  owner('UPDATE usage_ledger SET open_from = $1', [hours === undefined ? '-infinity' : at(hours)])

/** Requests by hour. All that is booked now is one hour, also if the test lasts until the next one. */
async function totals(reporter: string): Promise<Record<string, number>> {
  const rows = await mintmark.database.asOwner<{ hour: Date; requests: number; weighed: boolean }>(
    `SELECT least(hour, $2::timestamptz) AS hour, sum(requests)::int AS requests, bool_and(
       input_tokens = requests * 10 AND cached_input_tokens = requests * 2 AND output_tokens = requests * 5) AS weighed
     FROM usage_totals WHERE reporter_id = $1 GROUP BY 1 ORDER BY 1`,
    [reporter, at(0)],
  )
  expect(rows.every(({ weighed }) => weighed)).toBe(true)
  return Object.fromEntries(rows.map(({ hour, requests }) => [(hour.getTime() - begun) / HOUR_MS, requests]))
}

/** Returns how many requests were taken back. */
async function voided(reporter: string, since: number): Promise<number> {
  const { body } = await until(
    'it is voided',
    () => mintmark.admin('POST', `/usage-reporters/${reporter}/void`, { since: at(since), reason: 'stolen' }),
    ({ status }) => status === 200,
  )
  expect(body).toMatchObject({ input_tokens: body.requests * 10, output_tokens: body.requests * 5 })
  return body.requests
}

/** A deleted reporter that sent this. */
async function reporterOf(...reports: Sent[]): Promise<string> {
  const { id } = await makeReporter(mintmark)
  for (const each of reports) await sent(id, each)
  await mintmark.admin('DELETE', `/usage-reporters/${id}`)
  return id
}

describe('A void', () => {
  it('after usage_dedup_seconds was raised leaves the hours whose records are gone', async () => {
    const honest = { requests: 7, received: -3.5 }
    const reporter = await reporterOf(
      ...REMOVED.map(of => ({ ...honest, of })),
      { requests: 3, of: -3, received: -2.5 },
      { requests: 5, of: -1, received: -0.9 },
      // Forged, also for hours before the theft.
      { requests: 2, of: -3, received: -0.4 },
      { requests: 4, of: -1, received: -0.3 },
      { requests: 6, of: 0, received: 0 },
    )
    await removed(...REMOVED)
    await owner(
      "INSERT INTO usage_rolled SELECT 'day', day, day + interval '24 hours' FROM date_trunc('day', $1::timestamptz, 'UTC') AS day",
      [at(-3)],
    )
    expect(await voided(reporter, -0.5)).toBe(12)
    const kept = { ...Object.fromEntries(REMOVED.map(hour => [hour, 7])), '-3': 3, '-1': 5, '0': 0 }
    expect(await totals(reporter)).toEqual(kept)
    // Its sums are discarded (decision 0032).
    expect(await owner("SELECT FROM usage_rolled WHERE unit = 'day'")).toEqual([])
    expect(await voided(reporter, -0.5)).toBe(0)
    expect(await totals(reporter)).toEqual(kept)
  })

  it('takes back whole hours from the theft on where the records are gone', async () => {
    const reporter = await reporterOf(
      { requests: 7, of: -8, received: -7.9 },
      { requests: 6, of: -7, received: -6.9 },
      { requests: 5, of: -6, received: -5.9 },
      { requests: 1, of: -1, received: -0.9 },
    )
    await removed(-8, -7, -6)
    expect(await voided(reporter, -6.5)).toBe(12)
    expect(await totals(reporter)).toEqual({ '-8': 7, '-7': 0, '-6': 0, '-1': 0 })
  })

  it('takes back the stored records of a month that has closed since the theft, in the current hour', async () => {
    const reporter = await reporterOf(
      { requests: 5, of: -2, received: -1.8 },
      { requests: 2, of: -1, received: -0.9 },
      // Forged.
      { requests: 4, of: -2, received: -0.4 },
      { requests: 3, of: -1, received: -0.3 },
      { requests: 1, of: 0, received: 0 },
    )
    await monthsAreClosedBefore(-1)
    expect(await voided(reporter, -0.5)).toBe(8)
    const corrected = { '-2': 9, '-1': 2, '0': -4 }
    expect(await totals(reporter)).toEqual(corrected)
    const [{ adjusted, labels } = {}] = await owner(
      'SELECT sum(adjusted_requests)::int AS adjusted, max(labels::text) AS labels FROM usage_totals WHERE reporter_id = $1 AND hour >= $2',
      [reporter, at(0)],
    )
    expect({ adjusted, labels }).toEqual({ adjusted: 4, labels: '{"team": "then"}' })
    expect(await voided(reporter, -0.5)).toBe(0)
    // Nothing is given back when the records are gone.
    await removed(-2)
    expect(await voided(reporter, -0.5)).toBe(0)
    expect(await totals(reporter)).toEqual(corrected)
    await monthsAreClosedBefore(undefined)
  })

  it('takes back no honest records of a month that was closed, while they are stored', async () => {
    const reporter = await reporterOf(
      { requests: 5, of: -2, received: -1.8 },
      { requests: 4, of: -2, received: -1.3 },
      { requests: 6, of: -3, received: -1.3 },
    )
    await monthsAreClosedBefore(-1)
    expect(await voided(reporter, -1.5)).toBe(10)
    expect(await totals(reporter)).toEqual({ '-3': 6, '-2': 9, '0': -10 })
    expect(await voided(reporter, -1.5)).toBe(0)
    // The theft was earlier.
    expect(await voided(reporter, -1.9)).toBe(5)
    expect(await voided(reporter, -1.5)).toBe(0)
    await removed(-2, -3)
    expect(await voided(reporter, -1.9)).toBe(0)
    expect(await totals(reporter)).toEqual({ '-3': 6, '-2': 9, '0': -15 })
    await monthsAreClosedBefore(undefined)
  })

  it('takes back whole hours of a closed month where the records are gone, and the others exactly', async () => {
    const reporter = await reporterOf(
      { requests: 9, of: -4, received: -3.9 },
      { requests: 8, of: -3, received: -2.9 },
      { requests: 5, of: -2, received: -1.9 },
    )
    await removed(-4, -3)
    await monthsAreClosedBefore(-1)
    expect(await voided(reporter, -2.5)).toBe(13)
    expect(await totals(reporter)).toEqual({ '-4': 9, '-3': 8, '-2': 5, '0': -13 })
    expect(await voided(reporter, -2.5)).toBe(0)
    expect(await voided(reporter, -3.5)).toBe(9)
    expect(await voided(reporter, -3.5)).toBe(0)
    await monthsAreClosedBefore(undefined)
  })

  it('leaves an honest record that came late and was counted where it arrived', async () => {
    const reporter = await reporterOf(
      { requests: 1, of: -4, received: -1.2, booked: -2 },
      { requests: 2, of: -2, received: -1.1 },
      { requests: 3, of: -1, received: -0.4 },
    )
    await removed(-4)
    await monthsAreClosedBefore(-3)
    expect(await voided(reporter, -0.5)).toBe(3)
    expect(await totals(reporter)).toEqual({ '-2': 3, '-1': 0 })
    await monthsAreClosedBefore(undefined)
  })

  it('takes back a forged record that came late with its adjustment', async () => {
    const reporter = await reporterOf(
      { requests: 1, of: -4, received: -1.2, booked: -2 },
      { requests: 2, of: -2, received: -1.3 },
      { requests: 4, of: -4, received: -0.4, booked: -1 },
      { requests: 3, of: -3, received: -0.4 },
    )
    await monthsAreClosedBefore(-3)
    expect(await voided(reporter, -1.25)).toBe(8)
    expect(await totals(reporter)).toEqual({ '-3': 0, '-2': 2, '-1': 0 })
    const rows = await owner(
      'SELECT sum(adjusted_requests)::int AS adjusted FROM usage_totals WHERE reporter_id = $1',
      [reporter],
    )
    expect(rows).toEqual([{ adjusted: 0 }])
    await monthsAreClosedBefore(undefined)
  })

  it('that corrects a month which closed by itself keeps it closed', async () => {
    const months = -70 * 24
    const reporter = await reporterOf({ requests: 7, of: months, received: months })
    await removed(months)
    expect(await voided(reporter, months)).toBe(7)
    const read = async () =>
      (
        await mintmark.database.asOwner<{ closed: boolean }>(
          'SELECT open_from > $1 AS closed FROM usage_ledger',
          [at(months)],
        )
      )[0]?.closed
    expect(await read()).toBe(true)
    await monthsAreClosedBefore(undefined)
  })
})
