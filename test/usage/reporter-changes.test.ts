import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { newKey } from '../support/new-key.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { logRecords, makeReporter, type Request, receiverOf, send } from './reports.ts'

/** A reporter that is replaced or deleted while it reports. */

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_OTLP_HTTP_PORT: '0' } })
  await mintmark.admin('PUT', '/models/base', {})
  await mintmark.admin('POST', '/tenants', { id: 'acme', models: ['base'] })
})
afterAll(() => mintmark.stop())

const recordsOf = (key: string, name: string, count: number): Request[] =>
  Array.from({ length: count }, (_, index) => ({
    ...{ id: `${name}-${index}`, tenant: 'acme', key, at: Date.now(), input: 10, output: 5 },
  }))

const requestsOf = async (reporter: string): Promise<number> => {
  // By default it is this month, which may have begun since the requests.
  const from = new Date(Date.now() - 20 * 3_600_000).toISOString()
  const { body } = await mintmark.admin('GET', `/usage?from=${from}&reporter=${reporter}`)
  return body.data[0]?.requests ?? 0
}

/** Waits for the lock that counting shares (usage-record-repository.ts). While this has it, no report is counted. */
async function lockCounting() {
  const client = new pg.Client({ connectionString: mintmark.database.ownerUrl })
  await client.connect()
  onTestFinished(() => client.end())
  const locked = client.query('SELECT pg_advisory_lock(1800001826)')
  // It may still wait when the test has failed.
  locked.catch(() => {})
  return { locked, unlock: () => client.query('SELECT pg_advisory_unlock(1800001826)') }
}

const waitingForLock = async (): Promise<number> => {
  const [row] = await mintmark.database.asOwner<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory' AND objid = 1800001826 AND NOT granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  )
  return row?.count ?? 0
}

describe('A usage reporter', () => {
  it('is replaced without a loss: the new one reports before the old one is deleted', async () => {
    const { id } = await newKey(mintmark, 'acme')
    const [old, next] = [await makeReporter(mintmark), await makeReporter(mintmark)]
    const url = receiverOf(mintmark)
    const sent = { old: 0, next: 0 }
    const report = async (name: 'old' | 'next', secret: string) => {
      await send(url, secret, logRecords(recordsOf(id, `${name}-${sent[name]}`, 100)))
      sent[name] += 100
    }
    // Gateways take the new secret one after the other.
    for (let round = 0; round < 3; round++)
      await Promise.all([report('old', old.secret), report('next', next.secret)])
    expect((await mintmark.admin('DELETE', `/usage-reporters/${old.id}`)).status).toBe(204)
    await expect(report('old', old.secret)).rejects.toThrow()
    await report('next', next.secret)
    expect([await requestsOf(old.id), await requestsOf(next.id)]).toEqual([sent.old, sent.next])
  })

  it('is rotated in place: both secrets report, and what is sent with both is counted once', async () => {
    const { id: key } = await newKey(mintmark, 'acme')
    const reporter = await makeReporter(mintmark)
    const report = (secret: string, name: string) =>
      send(receiverOf(mintmark), secret, logRecords(recordsOf(key, name, 100)))
    const rotate = (body: object, headers = {}) =>
      mintmark.admin('POST', `/usage-reporters/${reporter.id}/rotate`, body, headers)
    const before = await mintmark.admin('GET', `/usage-reporters/${reporter.id}`)
    const first = await rotate({ overlap_seconds: 3600 })
    expect(first.status).toBe(201)
    expect(first.body).toMatchObject({ id: reporter.id, secret: expect.stringMatching(/^mmr_/) })
    const left = Date.parse(first.body.older_secret_ends_at) - Date.now()
    expect(left).toBeGreaterThan(3_000_000)
    const second: string = first.body.secret
    // A report whose answer was lost is repeated after the gateway has the new secret.
    await report(reporter.secret, 'both')
    await report(second, 'both')
    await report(reporter.secret, 'old')
    expect(await requestsOf(reporter.id)).toBe(200)

    expect((await rotate({}, { 'if-match': before.headers.get('etag') ?? '' })).status).toBe(412)
    const refused = await rotate({})
    expect([refused.status, refused.body.code]).toEqual([409, 'two_live_secrets'])
    // The new secret leaked before the gateways had it: the old one stays.
    const { secret: third } = (await rotate({ replace: 'newest' })).body
    await expect(report(second, 'newest')).rejects.toThrow()
    await report(reporter.secret, 'kept')
    await report(third, 'third')
    const { secret: fourth } = (await rotate({ replace: 'oldest', overlap_seconds: 0 })).body
    for (const ended of [reporter.secret, second, third])
      await expect(report(ended, 'ended')).rejects.toThrow()
    await report(fourth, 'fourth')
    expect(await requestsOf(reporter.id)).toBe(500)
    const events = (await mintmark.admin('GET', '/audit-events?limit=100')).body.data
    const actions = events
      .filter(({ target_id }: { target_id: string }) => target_id === reporter.id)
      .map(({ action }: { action: string }) => action)
    expect(actions).toEqual([...Array(3).fill('usage-reporter.rotate'), 'usage-reporter.create'])
  })

  it('is rotated in place of the oldest secret, which ends at once; the other one ends after the overlap', async () => {
    const { id: key } = await newKey(mintmark, 'acme')
    const reporter = await makeReporter(mintmark)
    const report = (secret: string, name: string) =>
      send(receiverOf(mintmark), secret, logRecords(recordsOf(key, `oldest-${name}`, 1)))
    const rotate = async (body: object) =>
      (await mintmark.admin('POST', `/usage-reporters/${reporter.id}/rotate`, body)).body.secret
    const second = await rotate({ overlap_seconds: 3600 })
    const third = await rotate({ replace: 'oldest', overlap_seconds: 3600 })
    await expect(report(reporter.secret, 'first')).rejects.toThrow()
    await report(second, 'second')
    await report(third, 'third')
    expect(await requestsOf(reporter.id)).toBe(2)
  })

  it('is rotated: the older secret ends at its time, without another change', async () => {
    const reporter = await makeReporter(mintmark)
    const { body } = await mintmark.admin('POST', `/usage-reporters/${reporter.id}/rotate`, {
      overlap_seconds: 1,
    })
    const status = async (secret: string) =>
      (
        await fetch(`${receiverOf(mintmark)}/v1/logs`, {
          method: 'POST',
          headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
          body: '{}',
        })
      ).status
    await until(
      'the older secret ended',
      () => status(reporter.secret),
      code => code === 401,
    )
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(body.older_secret_ends_at) - 1_000)
    expect(await status(body.secret)).toBe(200)
  })

  it('that is deleted cannot be rotated', async () => {
    const { id } = await makeReporter(mintmark)
    await mintmark.admin('DELETE', `/usage-reporters/${id}`)
    const refused = await mintmark.admin('POST', `/usage-reporters/${id}/rotate`, {})
    expect([refused.status, refused.body.code]).toEqual([409, 'usage_reporter_deleted'])
    expect((await mintmark.admin('POST', '/usage-reporters/rep_0000000000000000/rotate', {})).status).toBe(
      404,
    )
  })

  it('that is deleted in the middle of a report loses the rest of it, and all of it is taken back', async () => {
    const { id } = await newKey(mintmark, 'acme')
    const reporter = await makeReporter(mintmark)
    const since = new Date(Date.now() - 60_000).toISOString()
    const before = await lockCounting()
    await before.locked
    const records = logRecords(recordsOf(id, 'whole', 10_000))
    const report = send(receiverOf(mintmark), reporter.secret, records).then(
      () => 'counted' as const,
      () => 'rejected' as const,
    )
    await until('the first part waits', waitingForLock)
    const after = await lockCounting()
    await until('the test waits behind it', waitingForLock, count => count >= 2)
    await before.unlock()
    // The first part has 500 records. The second one waits behind the test.
    await after.locked
    const requests = await requestsOf(reporter.id)
    expect(requests).toBe(500)
    expect((await mintmark.admin('DELETE', `/usage-reporters/${reporter.id}`)).status).toBe(204)
    await after.unlock()
    expect(await report).toBe('rejected')
    expect(await requestsOf(reporter.id)).toBe(requests)
    const voided = () =>
      until(
        'it is voided',
        () => mintmark.admin('POST', `/usage-reporters/${reporter.id}/void`, { since, reason: 'stolen' }),
        ({ status }) => status === 200,
      )
    expect((await voided()).body).toEqual({
      ...{ requests, input_tokens: requests * 10, output_tokens: requests * 5 },
    })
    expect((await voided()).body).toMatchObject({ requests: 0 })
    expect(await requestsOf(reporter.id)).toBe(0)
  })

  it('is voided while its old records are removed: each hour is taken back once', async () => {
    const { id } = await newKey(mintmark, 'acme')
    const reporter = await makeReporter(mintmark)
    await send(receiverOf(mintmark), reporter.secret, logRecords(recordsOf(id, 'now', 200)))
    await mintmark.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests)
       SELECT date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 'acme', $1, 'base', $2, '{}', 7 FROM generate_series(3, 12) AS n`,
      [id, reporter.id],
    )
    await mintmark.database.asOwner(
      `INSERT INTO usage_records SELECT floor(extract(epoch FROM hour) / 3600)::bigint % 32, hour, $2, sha256(number::text::bytea),
         hour, hour, 'acme', $1, 'base', false, false, 1, 0, 1
       FROM generate_series(1, 70) AS number, LATERAL (SELECT date_trunc('hour', now(), 'UTC') - (3 + number % 10) * interval '1 hour' AS hour) AS h`,
      [id, reporter.id],
    )
    const from = new Date(Date.now() - 20 * 3_600_000).toISOString()
    const sum = async () =>
      (await mintmark.admin('GET', `/usage?from=${from}&reporter=${reporter.id}`)).body.data[0]?.requests ?? 0
    expect(await sum()).toBe(270)
    await mintmark.admin('DELETE', `/usage-reporters/${reporter.id}`)
    let over = false
    const pruning = (async () => {
      while (!over) await mintmark.database.asOwner("SELECT prune_usage_records(interval '2 hours')")
    })()
    const voided = () =>
      mintmark.admin('POST', `/usage-reporters/${reporter.id}/void`, { since: from, reason: 'stolen' })
    const takenBack = await Promise.all([voided(), voided(), voided()])
    // On a busy machine the database may be late, and 503 is repeated.
    takenBack.push(await until('it is voided', voided, ({ status }) => status === 200))
    over = true
    await pruning
    for (const { status } of takenBack) expect([200, 503]).toContain(status)
    if (takenBack.every(({ status }) => status === 200))
      expect(takenBack.reduce((total, { body }) => total + body.requests, 0)).toBe(270)
    expect(await sum()).toBe(0)
  })
})
