import { gzipSync } from 'node:zlib'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { createLogger } from '../../src/system/logger.ts'
import { pruneUsage } from '../../src/usage/usage-record-repository.ts'
import { scrape } from '../observability/metrics-text.ts'
import { PATIENT } from '../support/patient.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { logRecords, makeReporter, type Request, receiverOf, send } from './reports.ts'

let mintmark: TestService
let reporter: { id: string; secret: string }
let key: string
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_OTLP_HTTP_PORT: '0' } })
  for (const id of ['acme', 'blue']) key = (await mintmark.tenantWithKey({ id })).keyId
  reporter = await makeReporter(mintmark)
})
afterAll(() => mintmark.stop())

async function post(body: string | Buffer, headers: Record<string, string> = {}) {
  const answer = await fetch(`${receiverOf(mintmark)}/v1/logs`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${reporter.secret}`,
      'content-type': 'application/json',
      ...headers,
    },
    body,
  })
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}

const attribute = (name: string, stringValue: string) => ({ key: name, value: { stringValue } })
let made = 0
/** One record in the JSON of the specification; undefined removes an attribute. */
function report(change: Record<string, string | undefined> = {}, timeUnixNano = `${Date.now()}000000`) {
  const attributes = {
    'mintmark.request.id': `one-${++made}`,
    'mintmark.tenant': 'blue',
    'mintmark.key': key,
    'mintmark.audience': 'vllm',
    'mintmark.outcome': 'completed',
    'gen_ai.usage.output_tokens': '5',
    ...change,
  }
  const pairs = Object.entries(attributes).flatMap(([name, value]) =>
    value === undefined ? [] : [attribute(name, value)],
  )
  return { resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano, attributes: pairs }] }] }] }
}
const text = (value: object) => JSON.stringify(value)
const together = (reports: readonly ReturnType<typeof report>[]) =>
  text({ resourceLogs: reports.flatMap(({ resourceLogs }) => resourceLogs) })
const UNKNOWN_KEY = { 'mintmark.key': `key_${'0'.repeat(16)}` }
const UNKNOWN_TENANT = { 'mintmark.tenant': 'nobody' }

/** Numbers of records by result. */
async function results(...names: string[]): Promise<number[]> {
  const { series } = await scrape(mintmark.service.urls.ops)
  return names.map(name => series.get(`mintmark_usage_records_total{result="${name}"}`) ?? 0)
}

async function counted() {
  const [row] = await mintmark.database.asOwner<{
    requests: string
    estimated: string
    output: string
    input: string
  }>(
    'SELECT sum(requests)::int AS requests, sum(estimated_requests)::int AS estimated, sum(output_tokens)::int AS output, sum(input_tokens)::int AS input FROM usage_totals',
  )
  return row
}

describe('A report is not counted', () => {
  it.each([
    ['of an unknown tenant', () => report({ 'mintmark.tenant': 'nobody' }), 'unknown tenant'],
    [
      'with the key of another tenant',
      () => report({ 'mintmark.tenant': 'acme' }),
      'key that its tenant does not have',
    ],
    ['for an audience of others', () => report({ 'mintmark.audience': 'other' }), 'audience'],
    ['older than the window', () => report({}, `${Date.now() - 3_700_000}000000`), 'older than'],
    ['of a clock that is ahead', () => report({}, `${Date.now() + 600_000}000000`), 'in the future'],
    ['without an id', () => report({ 'mintmark.request.id': undefined }), 'without a readable'],
    ['without a time', () => report({}, '0'), 'without a time'],
  ])('%s: partial_success says why', async (_, made, why) => {
    const before = await counted()
    const { status, text: answer } = await post(text(made()))
    expect(status).toBe(200)
    const { partialSuccess } = JSON.parse(answer)
    expect(partialSuccess).toEqual({ rejectedLogRecords: '1', errorMessage: expect.stringContaining(why) })
    expect(await counted()).toEqual(before)
    const [line] = await until(
      'the log says why',
      () => mintmark.logs.filter(each => each.includes('"rejected":') && each.includes(why)),
      lines => lines.length > 0,
    )
    expect(JSON.parse(line ?? '')).toMatchObject({ listener: 'otlp_http', usage_reporter: reporter.id })
  })

  it('when nobody was verified, which is no fault of the gateway', async () => {
    const { status, text: answer } = await post(text(report({ 'mintmark.tenant': '-', 'mintmark.key': '-' })))
    expect({ status, answer }).toEqual({ status: 200, answer: '{}' })
  })

  it('when nobody was verified: it waits for nothing that records are counted by', async () => {
    const own = new pg.Client({ connectionString: mintmark.database.ownerUrl })
    await own.connect()
    try {
      // As while a month is closed (usage-record-repository.ts).
      await own.query('SELECT pg_advisory_lock(1800001826)')
      const before = await results('ignored')
      const { status, text: answer } = await post(text(report({ 'mintmark.tenant': '-' })))
      expect({ status, answer }).toEqual({ status: 200, answer: '{}' })
      expect(await results('ignored')).toEqual(before.map(count => count + 1))
    } finally {
      await own.end()
    }
  })

  it('without the secret of a reporter: 401, before its body is read', async () => {
    for (const authorization of [
      '',
      'Bearer wrong',
      `Bearer ${mintmark.rootToken}`,
      `Basic ${reporter.secret}`,
    ]) {
      const answer = await post(text(report()), { authorization })
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="usage"')
    }
  })

  it.each([
    ['a body of 10 MB', () => Buffer.alloc(10_000_000, 0x20), {}, 413],
    [
      '10 MB that are packed',
      () => gzipSync(Buffer.alloc(10_000_000, 0x20)),
      { 'content-encoding': 'gzip' },
      413,
    ],
    ['what is not gzip', () => text(report()), { 'content-encoding': 'gzip' }, 400],
    ['another encoding', () => text(report()), { 'content-encoding': 'br' }, 415],
    ['another type', () => text(report()), { 'content-type': 'text/plain' }, 415],
    ['what is not JSON', () => '{"resourceLogs":', {}, 400],
    ['another shape', () => '{"resourceLogs":{"scopeLogs":1}}', {}, 400],
    ['100,000 levels', () => `${'['.repeat(100_000)}${']'.repeat(100_000)}`, {}, 400],
    [
      'a million attributes',
      () =>
        `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[${'{},'.repeat(1_000_000)}{}]}]}]}]}`,
      {},
      400,
    ],
    ['what is not protobuf', () => 'hello', { 'content-type': 'application/x-protobuf' }, 400],
    [
      'a million empty attributes in protobuf',
      () => nested(1, nested(2, nested(2, Buffer.from('3200'.repeat(1_000_000), 'hex')))),
      { 'content-type': 'application/x-protobuf' },
      400,
    ],
  ])('%s', async (_, body, headers, status) => {
    const before = await counted()
    const answer = await post(body(), headers as Record<string, string>)
    expect(answer.status).toBe(status)
    expect(await counted()).toEqual(before)
    expect((await post(text(report()))).status).toBe(200)
  })
})

it.each(['json', 'protobuf'] as const)(
  'A request of 119 minutes is counted by its end, in %s',
  async encoded => {
    const at = Date.now() - 2 * 3_600_000
    const long = (id: string, more = {}): Request => ({
      id: `${encoded}-${id}`,
      tenant: 'blue',
      key,
      at,
      output: 7,
      more,
    })
    const before = await counted()
    await send(receiverOf(mintmark), reporter.secret, logRecords([long('without')]), encoded)
    expect(await counted()).toEqual(before)
    const duration = { 'mintmark.request.duration_ms': String(119 * 60_000) }
    await send(receiverOf(mintmark), reporter.secret, logRecords([long('with', duration)]), encoded)
    expect(Number((await counted())?.output)).toBe(Number(before?.output ?? 0) + 7)
  },
)

describe.each([
  {
    what: 'JSON',
    headers: {},
    of: (records: number) =>
      text({ resourceLogs: [{ scopeLogs: [{ logRecords: Array.from({ length: records }, () => ({})) }] }] }),
    with: (attributes: number) =>
      text({
        resourceLogs: [
          { scopeLogs: [{ logRecords: [{ attributes: Array.from({ length: attributes }, () => ({})) }] }] },
        ],
      }),
    empty: (resources: number, scopes: number) =>
      text({
        resourceLogs: [
          { scopeLogs: Array.from({ length: scopes }, () => ({})) },
          ...Array.from({ length: resources - 1 }, () => ({})),
        ],
      }),
  },
  {
    what: 'protobuf',
    headers: { 'content-type': 'application/x-protobuf' },
    of: (records: number) => nested(1, nested(2, Buffer.from('1200'.repeat(records), 'hex'))),
    with: (attributes: number) =>
      nested(1, nested(2, nested(2, Buffer.from('3200'.repeat(attributes), 'hex')))),
    empty: (resources: number, scopes: number) =>
      Buffer.concat([
        nested(1, Buffer.from('1200'.repeat(scopes), 'hex')),
        Buffer.from('0a00'.repeat(resources - 1), 'hex'),
      ]),
  },
])('A report in $what', bounds => {
  it('has at most 10,000 records', async () => {
    const full = await post(bounds.of(10_000), bounds.headers)
    expect(full.status, full.text.slice(0, 200)).toBe(200)
    const refused = await post(bounds.of(10_001), bounds.headers)
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('more than 10000 records')])
  })

  it('has at most 10,000 resources and scopes', async () => {
    const [resources, scopes] = [4_000, 6_000]
    expect((await post(bounds.empty(resources, scopes), bounds.headers)).status).toBe(200)
    for (const more of [bounds.empty(resources + 1, scopes), bounds.empty(resources, scopes + 1)]) {
      const { status, text: message } = await post(more, bounds.headers)
      expect([status, message]).toEqual([
        400,
        expect.stringContaining('more than 10000 resources and scopes'),
      ])
    }
  })

  it('has at most 128 attributes in a record', async () => {
    expect((await post(bounds.with(128), bounds.headers)).status).toBe(200)
    const refused = await post(bounds.with(129), bounds.headers)
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('more than 128 attributes')])
  })
})

/** A field with bytes, of a length below 2^28. */
function nested(field: number, bytes: Buffer): Buffer {
  const length: number[] = []
  for (let rest = bytes.length; ; rest >>= 7) {
    length.push((rest & 127) | (rest > 127 ? 128 : 0))
    if (rest <= 127) break
  }
  return Buffer.concat([Buffer.from([field * 8 + 2, ...length]), bytes])
}

describe('A record', () => {
  it.each(['timeUnixNano', 'observedTimeUnixNano'])('in JSON may have its time as %s', async name => {
    const made = report()
    const [record] = made.resourceLogs[0]?.scopeLogs[0]?.logRecords ?? []
    const { timeUnixNano, ...rest } = record ?? { timeUnixNano: '' }
    const logRecords = [{ ...rest, [name]: timeUnixNano }]
    expect((await post(text({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] }))).text).toBe('{}')
  })

  it.each([
    ['timeUnixNano', 1],
    ['observedTimeUnixNano', 11],
  ])('in protobuf may have its time as %s', async (_, field) => {
    const attributes = report().resourceLogs[0]?.scopeLogs[0]?.logRecords[0]?.attributes ?? []
    const pairs = attributes.map(({ key: name, value }) => {
      const any = nested(2, nested(1, Buffer.from(value.stringValue)))
      return nested(6, Buffer.concat([nested(1, Buffer.from(name)), any]))
    })
    const time = Buffer.alloc(9, field * 8 + 1)
    time.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 1)
    const record = nested(2, Buffer.concat([time, ...pairs]))
    const { status, text: answer } = await post(nested(1, nested(2, record)), {
      'content-type': 'application/x-protobuf',
    })
    expect({ status, answer }).toEqual({ status: 200, answer: '' })
  })

  it.each(['json', 'protobuf'] as const)(
    'in %s has members of lists up to 4,096 bytes, whatever is before them',
    async encoded => {
      const before = await counted()
      const long = Array<string>(150).fill('é'.repeat(2_049))
      const request = { id: `members-${encoded}`, tenant: 'blue', key }
      const more = { 'mintmark.audience': [...long, 'vllm'] }
      await send(receiverOf(mintmark), reporter.secret, logRecords([{ ...request, more }]), encoded)
      expect(Number((await counted())?.requests) - Number(before?.requests)).toBe(1)
    },
  )

  it('of a cancelled request has the tokens of the engine, or else estimated ones', async () => {
    const before = await counted()
    const sizes = { 'http.request.body.size': '400', 'http.response.body.size': '2000' }
    await post(text(report({ 'mintmark.outcome': 'cancelled', 'gen_ai.usage.output_tokens': '-', ...sizes })))
    await post(text(report({ 'mintmark.outcome': 'cancelled', ...sizes })))
    // The events of a stream, where the gateway counted them, say more than its size.
    const events = { 'gen_ai.usage.output_tokens': '-', 'mintmark.usage.output_events': '3' }
    await post(text(report({ 'mintmark.outcome': 'cancelled', ...sizes, ...events })))
    const after = await counted()
    expect({
      requests: Number(after?.requests) - Number(before?.requests),
      estimated: Number(after?.estimated) - Number(before?.estimated),
      output: Number(after?.output) - Number(before?.output),
      input: Number(after?.input) - Number(before?.input),
    }).toEqual({ requests: 3, estimated: 2, output: 10 + 5 + 3, input: 200 })
  })

  it.each([
    ['200', 1],
    ['499', 1],
    ['0', 1],
    ['403', 0],
    ['503', 0],
  ])('without an outcome has that of its status: %s', async (status, requests) => {
    const before = await counted()
    await post(text(report({ 'mintmark.outcome': undefined, 'http.response.status_code': status })))
    expect(Number((await counted())?.requests) - Number(before?.requests)).toBe(requests)
  })

  it.each(['vllm', '["other","vllm"]'])('has the audience of its token, text or list: %s', async audience => {
    expect((await post(text(report({ 'mintmark.audience': audience })))).text).toBe('{}')
  })

  it('may name what no gateway should', async () => {
    // What is special in an array of Postgres too.
    const special = ['"', '\\', 'NULL', '{"a","b\\"}', '},{']
    const others = ['\0', '\ud800', "'; DROP TABLE usage_totals; --", 'x'.repeat(5000), '__proto__']
    for (const hostile of [...special, ...others]) {
      const answer = await post(
        text(report({ 'gen_ai.request.model': hostile, 'mintmark.request.id': `h${hostile}` })),
      )
      expect(answer.status).toBe(200)
    }
    const rows = await mintmark.database.asOwner<{ model: string }>('SELECT DISTINCT model FROM usage_totals')
    expect(rows).toEqual([{ model: '' }])
  })
})

describe('The receiver', () => {
  it.each(['bearer', 'BEARER'])(
    'takes %s for Bearer: schemes have no case (RFC 9110 §11.1)',
    async scheme => {
      const answer = await post(text(report()), { authorization: `${scheme} ${reporter.secret}` })
      expect(answer.status).toBe(200)
    },
  )

  it('counts what it did in metrics with fixed labels', async () => {
    const page = await (await fetch(`${mintmark.service.urls.ops}/metrics`)).text()
    expect(page).toMatch(/mintmark_usage_records_total\{result="counted"\} [1-9]/)
    expect(page).toMatch(/mintmark_usage_records_total\{result="rejected_too_old"\} [1-9]\d*\n/)
    expect(page).not.toContain('acme')
  })

  it('counts each record of a report by one result', async () => {
    const names = ['counted', 'repeated', 'rejected_tenant']
    const known = report()
    expect((await post(text(known))).status).toBe(200)
    const before = await results(...names)
    const three = [known, report(), report({ 'mintmark.tenant': 'nobody' })]
    expect((await post(together(three))).status).toBe(200)
    expect(await results(...names)).toEqual(before.map(count => count + 1))
  })

  it.each<[string, Record<string, string>[], string | undefined, number[]]>([
    ['counts a record once', [{}, {}], undefined, [1, 1, 0, 0]],
    ['counts a record whose first copy names an unknown key', [UNKNOWN_KEY, {}], '1', [1, 0, 1, 0]],
    ['counts a record whose second copy names an unknown key', [{}, UNKNOWN_KEY], '1', [1, 0, 1, 0]],
    [
      'rejects each copy of a record of an unknown tenant',
      [UNKNOWN_TENANT, UNKNOWN_TENANT, UNKNOWN_TENANT],
      '3',
      [0, 0, 0, 3],
    ],
  ])('%s that is in a report several times', async (_, copies, rejected, expected) => {
    const names = ['counted', 'repeated', 'rejected_key', 'rejected_tenant']
    const before = await results(...names)
    const id = `copied-${++made}`
    // Of two hours: a copy is new in each.
    const copied = copies.map((change, index) =>
      report({ 'mintmark.request.id': id, ...change }, `${Date.now() - (index % 2) * 3_500_000}000000`),
    )
    const { partialSuccess } = JSON.parse((await post(together(copied))).text)
    expect(partialSuccess?.rejectedLogRecords).toBe(rejected)
    expect(await results(...names)).toEqual(before.map((count, index) => count + (expected[index] ?? 0)))
  })

  it('answers 429 to a reporter that sends too much at once, and its exporter repeats it', async () => {
    const busy = await makeReporter(mintmark)
    const all: Request[] = Array.from({ length: 20 }, (_, index) => ({
      id: `busy-${index}`,
      tenant: 'blue',
      key,
    }))
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post(text(report()), { authorization: `Bearer ${busy.secret}` })),
    )
    const statuses = answers.map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set([200, 429]))
    const refused = answers.find(({ status }) => status === 429)
    expect(refused?.headers.get('retry-after')).toBe('1')
    await Promise.all(all.map(one => send(receiverOf(mintmark), busy.secret, logRecords([one]))))
    const rows = await mintmark.database.asOwner<{ requests: string }>(
      'SELECT sum(requests)::int AS requests FROM usage_totals WHERE reporter_id = $1',
      [busy.id],
    )
    expect(rows).toEqual([{ requests: 20 + statuses.filter(status => status === 200).length }])
  })

  it('forgets the records of hours that no report can repeat, and one hour later', async () => {
    const { asOwner, applicationUrl: url } = mintmark.database
    const hourNow = async () => {
      const [row] = await asOwner<{ hour: number }>(
        'SELECT floor(extract(epoch FROM clock_timestamp()) / 3600)::int AS hour',
      )
      return row?.hour
    }
    const database = new Database({
      url,
      maxConnections: 1,
      logger: createLogger('silent'),
      timeouts: PATIENT,
    })
    onTestFinished(() => database.close())
    /** Undefined: the hour ended meanwhile. */
    const kept = async (): Promise<number[] | undefined> => {
      await asOwner("DELETE FROM usage_records WHERE reporter_id = 'rep'")
      const hour = await hourNow()
      await asOwner(
        `INSERT INTO usage_records SELECT (n % 32)::smallint, to_timestamp(n * 3600.0), 'rep', decode('00', 'hex'), now(), now(), '', '', '', false, false, 0, 0, 0
         FROM (SELECT $1::bigint - unnest('{0,1,2,3,5,20}'::int[]) AS n) AS hour`,
        [hour],
      )
      await database.run(db => pruneUsage(db, { dedupSeconds: 3_600, retentionDays: 400 }))
      const rows = await asOwner<{ age: number }>(
        "SELECT ($1::bigint - extract(epoch FROM hour) / 3600)::int AS age FROM usage_records WHERE reporter_id = 'rep' ORDER BY 1",
        [hour],
      )
      return (await hourNow()) === hour ? rows.map(({ age }) => age) : undefined
    }
    expect((await kept()) ?? (await kept())).toEqual([0, 1, 2])
  })

  it('is off unless its port is set', async () => {
    const silent = await startTestService({ database: mintmark.database, awaitReady: false })
    expect(silent.service.urls.otlpHttp).toBeUndefined()
    expect(silent.service.addresses.otlpHttp).toBeUndefined()
    await silent.stop()
  })
})
