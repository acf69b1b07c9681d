import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { CurrentPolicy } from '../../src/installation/current-policy.ts'
import { createLogger } from '../../src/system/logger.ts'
import { readUsageRecord } from '../../src/usage/usage-record.ts'
import { batchesOf } from '../../src/usage/usage-record-batch.ts'
import { UsageRecords } from '../../src/usage/usage-records.ts'
import { PATIENT } from '../support/patient.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { type Encoded, logRecords, makeReporter, type Request, receiverOf, send } from './reports.ts'

let database: TestDatabase
let mintmark: TestService
let env: Record<string, string> = { MINTMARK_OTLP_HTTP_PORT: '0' }
const start = async () => {
  mintmark = await startTestService({ database, env })
  const {
    MINTMARK_PEPPERS = '',
    MINTMARK_ENCRYPTION_KEYS = '',
    MINTMARK_ROOT_TOKEN = '',
  } = mintmark.environment
  env = { ...env, MINTMARK_PEPPERS, MINTMARK_ENCRYPTION_KEYS, MINTMARK_ROOT_TOKEN }
}
const holders: { tenant: string; key: string }[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  await start()
  for (const model of ['base', 'other']) await mintmark.admin('PUT', `/models/${model}`, {})
  for (const id of ['acme', 'blue']) {
    const { keyId } = await mintmark.tenantWithKey({ id, labels: { team: id } })
    holders.push({ tenant: id, key: keyId })
  }
})
afterAll(async () => {
  await mintmark.stop()
  await database.drop()
})

/** Requests of three hours' worth of ids, a third cancelled or refused. */
const requests = (name: string, count: number): Request[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `${name}-${index}`,
    ...(holders[index % 2] as { tenant: string; key: string }),
    at: Date.now() - (index % 50) * 60_000,
    model: index % 5 === 0 ? 'other' : 'base',
    outcome: index % 7 === 0 ? 'refused' : index % 11 === 0 ? 'cancelled' : 'completed',
    input: 100 + index,
    output: index,
    cached: index % 13,
  }))

const HOUR_MS = 3_600_000

function expected(all: readonly Request[]) {
  const sums: Record<string, number[]> = {}
  for (const { tenant, key, model, at = 0, outcome, input = 0, output = 0, cached = 0 } of all) {
    const hour = new Date(Math.floor(at / HOUR_MS) * HOUR_MS).toISOString()
    const name = `${hour} ${tenant} ${key} ${model}`
    sums[name] ??= [0, 0, 0, 0, 0]
    const one = outcome === 'refused' ? [0, 1, 0, 0, 0] : [1, 0, input, output, cached]
    sums[name] = sums[name].map((value, index) => value + (one[index] ?? 0))
  }
  return sums
}

async function totals(reporter: string) {
  const rows = await database.asOwner<Record<string, string | Date>>(
    `SELECT hour, tenant_id, key_id, model, requests, refused_requests, input_tokens, output_tokens, cached_input_tokens
     FROM usage_totals WHERE reporter_id = $1`,
    [reporter],
  )
  return Object.fromEntries(
    rows.map(({ hour, tenant_id, key_id, model, ...counts }) => [
      `${(hour as Date).toISOString()} ${tenant_id} ${key_id} ${model}`,
      Object.values(counts).map(Number),
    ]),
  )
}

/** Deterministic, and far from the order in which they were made. */
const shuffled = <T>(list: readonly T[]): T[] =>
  list
    .map((item, index) => ({ item, place: (index * 7919) % list.length }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item)

describe('Each record counts once', () => {
  it.each<[string, Encoded]>([
    ['as JSON', 'json'],
    ['as packed protobuf', 'protobuf'],
  ])('when sent twice, out of order, over a restart of the receiver, %s', async (name, encoded) => {
    const reporter = await makeReporter(mintmark)
    const all = requests(name, 1200)
    const records = logRecords(all)
    const parts = (list: typeof records) => [list.slice(0, 500), list.slice(500, 900), list.slice(900)]
    const [first = [], ...rest] = parts(records)
    await send(receiverOf(mintmark), reporter.secret, first, encoded)
    await mintmark.stop()
    await start()
    await Promise.all(rest.map(part => send(receiverOf(mintmark), reporter.secret, part, encoded)))
    const again = parts(shuffled(records))
    await Promise.all(again.map(part => send(receiverOf(mintmark), reporter.secret, part, encoded)))
    expect(await totals(reporter.id)).toEqual(expected(all))
  })

  it('through two receivers at the same time', async () => {
    const second = await startTestService({ database, env })
    try {
      const reporter = await makeReporter(mintmark)
      const all = requests('two', 900)
      const records = logRecords(all)
      await expect
        .poll(() =>
          send(receiverOf(second), reporter.secret, []).then(
            () => true,
            () => false,
          ),
        )
        .toBe(true)
      await Promise.all([
        send(receiverOf(mintmark), reporter.secret, records),
        send(receiverOf(second), reporter.secret, shuffled(records)),
        send(receiverOf(second), reporter.secret, records.slice(300), 'json'),
      ])
      expect(await totals(reporter.id)).toEqual(expected(all))
    } finally {
      await second.stop()
    }
  })

  it('while connections to Postgres are cut and answers are lost', async () => {
    const proxy = await TcpProxy.before(database.applicationUrl)
    const faulty = await startTestService({
      database,
      env: { ...env, DATABASE_URL: proxy.url },
      // It does not give up before the connection is cut.
      overrides: { databaseTimeouts: PATIENT },
    })
    let isOver = false
    try {
      const reporter = await makeReporter(faulty)
      const all = requests('faults', 800)
      const records = logRecords(all)
      const parts = Array.from({ length: 8 }, (_, index) => records.slice(index * 100, index * 100 + 100))
      // The exporter repeats a report by itself for a while, and the test afterwards.
      const deliver = async (part: typeof records): Promise<void> => {
        await send(receiverOf(faulty), reporter.secret, part).catch(() =>
          isOver ? undefined : deliver(part),
        )
      }
      /** Cuts all connections when Postgres has executed a statement with this text, before the service has the answer. */
      const cutAfter = async (text: string): Promise<void> => {
        await proxy.holdAnswerTo(text)
        await until('Postgres has answered', () => proxy.holding)
        await proxy.become('cut')
        await proxy.become('none')
      }
      const cut = cutAfter('INSERT INTO usage_records')
      const delivered = Promise.all(parts.map(deliver))
      await cut
      // With the NUL that ends it: settings of a transaction contain the word, too.
      await cutAfter('commit\0')
      await cutAfter('INSERT INTO usage_records')
      await delivered
      expect(await totals(reporter.id)).toEqual(expected(all))
    } finally {
      isOver = true
      await faulty.stop()
      await proxy.close()
    }
  })

  it('for each reporter: two gateways may make the same id', async () => {
    const reporters = [await makeReporter(mintmark), await makeReporter(mintmark)]
    const all = requests('same', 20)
    for (const { secret } of reporters) await send(receiverOf(mintmark), secret, logRecords(all))
    for (const { id } of reporters) expect(await totals(id)).toEqual(expected(all))
  })

  it('also when the gateway names another hour the second time', async () => {
    const reporter = await makeReporter(mintmark)
    const [one = {} as Request] = requests('moved', 1)
    const later = { ...one, outcome: 'completed' as const, at: Date.now() - 50 * 60_000 }
    const sooner = { ...later, at: Date.now() + 4 * 60_000 }
    await send(receiverOf(mintmark), reporter.secret, logRecords([later]))
    await send(receiverOf(mintmark), reporter.secret, logRecords([sooner]))
    expect(await totals(reporter.id)).toEqual(expected([later]))
  })

  it('with the labels that its tenant and key had', async () => {
    const [{ labels } = {}] = await database.asOwner<{ labels: object }>(
      "SELECT labels FROM usage_totals WHERE tenant_id = 'acme' LIMIT 1",
    )
    expect(labels).toEqual({ team: 'acme' })
  })
})

it('counts a record once that was first sent with a time in the next hour', async () => {
  const reporter = await makeReporter(mintmark)
  const url = database.applicationUrl
  const logger = createLogger('silent')
  const own = new Database({ url: () => url, maxConnections: 1, logger, timeouts: PATIENT })
  const policy = new CurrentPolicy({ database: own })
  ;(await policy.load())()
  const end = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
  const records = new UsageRecords({ database: own, policy, now: () => end - 10_000 })
  const [{ tenant, key } = { tenant: '', key: '' }] = holders
  const attributes = new Map([
    ['mintmark.request.id', 'at the end of an hour'],
    ['mintmark.tenant', tenant],
    ['mintmark.key', key],
    ['mintmark.audience', 'vllm'],
    ['mintmark.outcome', 'completed'],
  ])
  const live = {
    ...{ id: reporter.id, audiences: ['vllm'], digest: '', pepperId: '' },
    ...{ secretId: 'x', endsAt: null },
  }
  for (const at of [end + 5_000, end - 11_000]) {
    const by = records.acceptedBy(live)
    await records.count(live.id, batchesOf([readUsageRecord({ at, attributes }, by)]), by)
  }
  expect(records.outcomes).toMatchObject({ counted: 1, repeated: 1 })
  await own.close()
})
