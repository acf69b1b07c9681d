import { connect } from 'node:http2'
import { gzipSync } from 'node:zlib'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-grpc'
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { numberField } from '../../src/http/protobuf.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { logRecords, makeReporter, type Request } from './reports.ts'

/** Reports over gRPC, sent by OpenTelemetry's own exporter, and by grpc-js where it sends what an exporter would not. */

const EXPORT = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'

let mintmark: TestService
let reporter: { id: string; secret: string }
let key: string
let address: string
let client: Client
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_OTLP_GRPC_PORT: '0' } })
  key = (await mintmark.tenantWithKey({ id: 'acme' })).keyId
  reporter = await makeReporter(mintmark)
  address = `127.0.0.1:${mintmark.service.addresses.otlpGrpc?.port}`
  client = new Client(address, credentials.createInsecure())
})
afterAll(async () => {
  client?.close()
  await mintmark?.stop()
})

const requests = (prefix: string, count: number): Request[] =>
  Array.from({ length: count }, (_, index) => ({
    ...{ id: `${prefix}-${index}`, tenant: 'acme', key },
    ...{ input: 10, output: 5, cached: 2 },
  }))

/** Sends one report by the exporter, with its own retries. */
function send(records: ReadableLogRecord[], secret: string, packed = true): Promise<void> {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${secret}`)
  const exporter = new OTLPLogExporter({
    ...{ url: `http://${address}`, metadata, credentials: credentials.createInsecure() },
    compression: (packed ? 'gzip' : 'none') as never,
  })
  return new Promise<void>((resolve, reject) => {
    exporter.export(records, ({ code, error }) =>
      code === 0 ? resolve() : reject(error ?? new Error('failed')),
    )
  }).finally(() => exporter.shutdown())
}

/** One call with these bytes as its message. */
function call(message: Buffer, secret: string | undefined, path = EXPORT): Promise<Buffer | ServiceError> {
  const metadata = new Metadata()
  if (secret !== undefined) metadata.set('authorization', `Bearer ${secret}`)
  const same = (bytes: Buffer) => bytes
  return new Promise(resolve => {
    client.makeUnaryRequest(path, same, same, message, metadata, (error, answer) =>
      resolve(error ?? answer ?? Buffer.alloc(0)),
    )
  })
}
const codeOf = async (answer: Promise<Buffer | ServiceError>) => {
  const found = await answer
  return Buffer.isBuffer(found) ? status.OK : found.code
}

/** The status of a call whose message says that it is packed. */
function framed(message: Buffer, secret: string): Promise<string> {
  const prefix = Buffer.from([1, 0, 0, 0, 0])
  prefix.writeUInt32BE(message.length, 1)
  const session = connect(`http://${address}`)
  return new Promise<string>((resolve, reject) => {
    const stream = session.request({
      ...{ ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc' },
      ...{ 'grpc-encoding': 'gzip', authorization: `Bearer ${secret}` },
    })
    stream.on('response', headers => resolve(String(headers['grpc-status'])))
    stream.on('error', reject)
    stream.end(Buffer.concat([prefix, message]))
  }).finally(() => session.close())
}

async function counted(of = reporter.id) {
  const [row] = await mintmark.database.asOwner(
    `SELECT coalesce(sum(requests), 0)::int AS requests, coalesce(sum(input_tokens), 0)::int AS input,
       coalesce(sum(cached_input_tokens), 0)::int AS cached, coalesce(sum(output_tokens), 0)::int AS output
     FROM usage_totals WHERE reporter_id = $1`,
    [of],
  )
  return row
}

describe('Usage over gRPC', () => {
  it('is counted once, packed or not, however often the exporter of OpenTelemetry sends it', async () => {
    const all = requests('one', 300)
    for (const packed of [true, false, true]) await send(logRecords(all), reporter.secret, packed)
    expect(await counted()).toEqual({ requests: 300, input: 3_000, cached: 600, output: 1_500 })
  })

  it.each([
    ['no secret', undefined],
    ['a wrong secret', 'wrong'],
  ])('%s is UNAUTHENTICATED, before the message is read', async (_, secret) => {
    // A message that could not be read.
    expect(await codeOf(call(Buffer.from('hello'), secret))).toBe(status.UNAUTHENTICATED)
  })

  it('says in partial_success how many records it rejected', async () => {
    const before = await counted()
    const stranger = logRecords([{ id: 'stranger', tenant: 'nobody', key }])
    // The exporter takes an answer with partial_success as a success.
    await send(stranger, reporter.secret)
    expect(await counted()).toEqual(before)
    const page = await (await fetch(`${mintmark.service.urls.ops}/metrics`)).text()
    expect(page).toMatch(/mintmark_usage_records_total\{result="rejected_tenant"\} 1\n/)
    expect(page).toMatch(
      /mintmark_http_request_duration_seconds_count\{listener="otlp_grpc",route="Export",status="2xx"\} [1-9]/,
    )
  })

  it.each([
    ['what is not protobuf', () => Buffer.from('hello'), status.INVALID_ARGUMENT],
    ['a message of 5 MB', () => Buffer.alloc(5_000_000, 0x20), status.RESOURCE_EXHAUSTED],
    [
      'a million fields',
      () => Buffer.concat(Array(1_000_000).fill(numberField(9, 1))),
      status.INVALID_ARGUMENT,
    ],
  ])('refuses %s, for good', async (_, message, code) => {
    expect(await codeOf(call(message(), reporter.secret))).toBe(code)
    expect(await codeOf(call(Buffer.alloc(0), reporter.secret))).toBe(status.OK)
  })

  it('refuses 10 MB that are packed, and what is not gzip', async () => {
    const sent = (packed: Buffer) => framed(packed, reporter.secret)
    expect(await sent(gzipSync(Buffer.alloc(10_000_000)))).toBe(`${status.INVALID_ARGUMENT}`)
    expect(await sent(Buffer.from('nothing packed'))).toBe(`${status.INVALID_ARGUMENT}`)
  })

  it('has no other method', async () => {
    const other = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
    expect(await codeOf(call(Buffer.alloc(0), reporter.secret, other))).toBe(status.UNIMPLEMENTED)
  })

  it('answers UNAVAILABLE with the time to wait when a reporter sends too much at once, and counts the repetition', async () => {
    const busy = await makeReporter(mintmark)
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(Buffer.alloc(0), busy.secret)))
    const refused = answers.filter((answer): answer is ServiceError => !Buffer.isBuffer(answer))
    expect(refused.length).toBeGreaterThan(0)
    for (const { code, metadata } of refused) {
      expect(code).toBe(status.UNAVAILABLE)
      const [details] = metadata.get('grpc-status-details-bin')
      expect(String(details)).toContain('google.rpc.RetryInfo')
      // google.rpc.Status: its code 14; the value of its detail is a RetryInfo with a retry_delay of 1 s.
      const hex = Buffer.from(details as Buffer).toString('hex')
      expect(hex).toMatch(/^080e12.*12040a020801$/)
    }
    // The exporter of JavaScript leaves the repetition to its caller.
    const persistently = async (records: ReadableLogRecord[]): Promise<void> =>
      send(records, busy.secret).catch(error => {
        if (error.code !== status.UNAVAILABLE) throw error
        return persistently(records)
      })
    await Promise.all(requests('busy', 12).map(one => persistently(logRecords([one]))))
    expect(await counted(busy.id)).toMatchObject({ requests: 12 })
  })

  it('is off unless its port is set', async () => {
    const silent = await startTestService({ database: mintmark.database, awaitReady: false })
    expect(silent.service.addresses.otlpGrpc).toBeUndefined()
    await silent.stop()
  })
})
