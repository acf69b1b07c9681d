import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { repeatedWhileUnavailable } from '../support/repeated-while-unavailable.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { makeReporter, receiverOf } from './reports.ts'

/**
 * What no gateway writes, in each of the three ways in which reports come: HTTP with JSON, HTTP with protobuf, and gRPC. All three count the
 * same, no number is taken that is not one, and what comes afterwards is counted.
 */

const EXPORT = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
let mintmark: TestService
let key: string
let client: Client
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_OTLP_HTTP_PORT: '0', MINTMARK_OTLP_GRPC_PORT: '0' } })
  key = (await mintmark.tenantWithKey({ id: 'acme' })).keyId
  const address = `127.0.0.1:${mintmark.service.addresses.otlpGrpc?.port}`
  client = new Client(address, credentials.createInsecure())
})
afterAll(async () => {
  client?.close()
  await mintmark?.stop()
})

/** A value of OpenTelemetry, in both of its forms. */
interface Any {
  json: unknown
  protobuf: Buffer
}
const varint = (value: bigint): Buffer => {
  const bytes: number[] = []
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0))
    if (rest <= 127n) return Buffer.from(bytes)
  }
}
const field = (number: number, bytes: Buffer) =>
  Buffer.concat([varint(BigInt(number * 8 + 2)), varint(BigInt(bytes.length)), bytes])
const fixed = (number: number, bytes: Buffer) => Buffer.concat([Buffer.from([number * 8 + 1]), bytes])

const string = (value: string): Any => ({
  json: { stringValue: value },
  protobuf: field(1, Buffer.from(value)),
})
const int = (value: bigint): Any => ({
  json: { intValue: String(value) },
  protobuf: Buffer.concat([Buffer.from([24]), varint(value)]),
})
const double = (value: number): Any => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  // JSON has these as text.
  return { json: { doubleValue: Number.isFinite(value) ? value : String(value) }, protobuf: fixed(4, bytes) }
}
const bool = (value: boolean): Any => ({
  json: { boolValue: value },
  protobuf: Buffer.from([16, Number(value)]),
})
const bytes = (value: Buffer): Any => ({
  json: { bytesValue: value.toString('base64') },
  protobuf: field(7, value),
})
const list = (members: Any[]): Any => ({
  json: { arrayValue: { values: members.map(({ json }) => json) } },
  protobuf: field(5, Buffer.concat(members.map(({ protobuf }) => field(1, protobuf)))),
})
const map = (name: string, value: Any): Any => ({
  json: { kvlistValue: { values: [{ key: name, value: value.json }] } },
  protobuf: field(6, field(1, pair([name, value]).protobuf)),
})
const pair = ([name, value]: [string, Any]): Any => ({
  json: { key: name, value: value.json },
  protobuf: Buffer.concat([field(1, Buffer.from(name)), field(2, value.protobuf)]),
})
const deep = (levels: number): Any => {
  let value = string('x')
  for (let level = 0; level < levels; level++) value = map('x', value)
  return value
}

type Pairs = [string, Any][]
/** One record. */
function report(attributes: Pairs, resource: Pairs = [], at = BigInt(Date.now()) * 1_000_000n): Any {
  const time = Buffer.alloc(8)
  time.writeBigUInt64LE(BigInt.asUintN(64, at))
  const pairs = (list: Pairs) => list.map(pair)
  const record = Buffer.concat([
    fixed(1, time),
    ...pairs(attributes).map(({ protobuf }) => field(6, protobuf)),
  ])
  const shared = Buffer.concat(pairs(resource).map(({ protobuf }) => field(1, protobuf)))
  return {
    json: {
      resourceLogs: [
        {
          resource: { attributes: pairs(resource).map(({ json }) => json) },
          scopeLogs: [
            {
              logRecords: [
                { timeUnixNano: String(at), attributes: pairs(attributes).map(({ json }) => json) },
              ],
            },
          ],
        },
      ],
    },
    protobuf: field(1, Buffer.concat([field(1, shared), field(2, field(2, record))])),
  }
}

let made = 0
const named = (tokens: Pairs): Pairs => [
  ['mintmark.request.id', string(`hostile-${++made}`)],
  ['mintmark.tenant', string('acme')],
  ['mintmark.key', string(key)],
  ['mintmark.audience', string('vllm')],
  ['mintmark.outcome', string('completed')],
  ...tokens,
]

const WAYS = ['JSON', 'protobuf', 'gRPC'] as const
type Way = (typeof WAYS)[number]

function call(message: Buffer, secret: string): Promise<number> {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${secret}`)
  const same = (given: Buffer) => given
  return new Promise(resolve => {
    client.makeUnaryRequest(EXPORT, same, same, message, metadata, error => resolve(error?.code ?? 0))
  })
}

/** HTTP's status, and 200, 400 or 503 for the codes of gRPC for these. Repeated after 503, as senders do. */
async function sendBy(way: Way, secret: string, report: Any): Promise<number> {
  return (await repeatedWhileUnavailable(async () => ({ status: await sendOnce(way, secret, report) })))
    .status
}

async function sendOnce(way: Way, secret: string, { json, protobuf }: Any): Promise<number> {
  if (way === 'gRPC') return { 0: 200, 3: 400, 14: 503 }[await call(protobuf, secret)] ?? 500
  const answer = await fetch(`${receiverOf(mintmark)}/v1/logs`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${secret}`,
      'content-type': way === 'JSON' ? 'application/json' : 'application/x-protobuf',
    },
    body: way === 'JSON' ? JSON.stringify(json) : new Uint8Array(protobuf),
  })
  return answer.status
}

/** A reporter of its own for each test; a service has at most 1,000. */
async function withReporter(
  test: (reporter: { id: string; secret: string }) => Promise<void>,
): Promise<void> {
  const reporter = await makeReporter(mintmark)
  await test(reporter).finally(() => mintmark.admin('DELETE', `/usage-reporters/${reporter.id}`))
}

async function totalsOf(reporter: string) {
  const [row] = await mintmark.database.asOwner<{ requests: number; output: string; input: string }>(
    `SELECT coalesce(sum(requests), 0)::int AS requests, coalesce(sum(input_tokens), 0)::text AS input,
       coalesce(sum(output_tokens), 0)::text AS output FROM usage_totals WHERE reporter_id = $1`,
    [reporter],
  )
  return row
}

const OUTPUT = 'gen_ai.usage.output_tokens'
const counts = (value: Any): Pairs => [[OUTPUT, value]]

describe.each(WAYS)('By %s', way => {
  it.each<[string, Any, number]>([
    ['12', int(12n), 12],
    ['12 as text', string('12'), 12],
    ['a floating number that is whole', double(12), 12],
    ['text with a fraction of 0', string('12.000'), 12],
    ['the most', int(2n ** 32n), 2 ** 32],
    ['one more than the most', int(2n ** 32n + 1n), 0],
    ['the largest integer', int(2n ** 63n - 1n), 0],
    ['a negative integer', int(-1n), 0],
    ['the smallest integer', int(-(2n ** 63n)), 0],
    ['a negative number as text', string('-1'), 0],
    ['a fraction', double(2.5), 0],
    ['a large floating number', double(1e300), 0],
    ['a tiny floating number', double(5e-324), 0],
    ['NaN', double(Number.NaN), 0],
    ['infinity', double(Number.POSITIVE_INFINITY), 0],
    ['minus 0', double(-0), 0],
    ['an exponent as text', string('1e3'), 0],
    ['hexadecimal text', string('0x10'), 0],
    ['digits of another script', string('١٢'), 0],
    ['500 digits', string('9'.repeat(500)), 0],
    ['text with a NUL', string('12\0'), 0],
    ['true', bool(true), 0],
    ['bytes', bytes(Buffer.from('12')), 0],
    ['a list', list([string('12')]), 0],
    ['a list of lists', list([list([list([string('12')])])]), 0],
    ['a map in 5 maps', deep(5), 0],
  ])('a number of tokens that is %s is counted as one, or as none', async (_, value, expected) => {
    await withReporter(async ({ id, secret }) => {
      expect(await sendBy(way, secret, report(named(counts(value))))).toBe(200)
      expect(await totalsOf(id)).toEqual({ requests: 1, input: '0', output: String(expected) })
    })
  })

  it.each<[string, () => Any, number, number]>([
    [
      'an attribute twice: the last counts',
      () =>
        report(
          named([
            [OUTPUT, int(5n)],
            [OUTPUT, int(7n)],
          ]),
        ),
      200,
      7,
    ],
    [
      'a record’s attribute before that of its resource',
      () => report(named(counts(int(7n))), counts(int(5n))),
      200,
      7,
    ],
    ['all attributes in the resource', () => report([], named(counts(int(7n)))), 200, 7],
    ['no resource, scope or record', () => ({ json: {}, protobuf: Buffer.alloc(0) }), 200, 0],
    [
      'an empty resource',
      () => ({ json: { resourceLogs: [{}] }, protobuf: field(1, Buffer.alloc(0)) }),
      200,
      0,
    ],
    [
      'names as of an object’s own',
      () => report(named([['__proto__', int(1n)], ['constructor', deep(3)], ...counts(int(7n))])),
      200,
      7,
    ],
    [
      '129 attributes',
      () => report(named(Array.from({ length: 129 }, () => ['x', int(1n)] as [string, Any]))),
      400,
      0,
    ],
    [
      '129 attributes of the resource',
      () =>
        report(
          named([]),
          Array.from({ length: 129 }, () => ['x', int(1n)] as [string, Any]),
        ),
      400,
      0,
    ],
    ['the beginning of time', () => report(named(counts(int(7n))), [], 1n), 200, 0],
    ['the end of time', () => report(named(counts(int(7n))), [], 2n ** 64n - 1n), 200, 0],
  ])('%s', async (_, hostile, status, output) => {
    await withReporter(async ({ id, secret }) => {
      expect(await sendBy(way, secret, hostile())).toBe(status)
      expect((await totalsOf(id))?.output).toBe(String(output))
      expect(await sendBy(way, secret, report(named(counts(int(1n)))))).toBe(200)
      expect((await totalsOf(id))?.output).toBe(String(output + 1))
    })
  })

  it('a map in 1,000 maps is refused, or not looked into', async () => {
    await withReporter(async ({ id, secret }) => {
      expect(await sendBy(way, secret, report(named(counts(deep(1_000)))))).toBe(way === 'JSON' ? 400 : 200)
      expect((await totalsOf(id))?.output).toBe('0')
    })
  })
})

it.each(['protobuf', 'gRPC'] as const)(
  'By %s a report whose end is missing is refused, wherever it was cut',
  async way => {
    await withReporter(async ({ id, secret }) => {
      const whole = report(named(counts(int(7n))))
      for (let length = 1; length < whole.protobuf.length; length++) {
        const cut = { ...whole, protobuf: whole.protobuf.subarray(0, length) }
        expect(await sendBy(way, secret, cut), `${length} bytes`).toBe(400)
      }
      expect((await totalsOf(id))?.requests).toBe(0)
      expect(await sendBy(way, secret, whole)).toBe(200)
      expect((await totalsOf(id))?.requests).toBe(1)
    })
  },
)

describe('By HTTP', () => {
  /** Sends until it is answered or cut off; how much that was. */
  function sendChunks(
    type: string,
    secret: string,
    chunk: Buffer,
  ): Promise<{ answer: string; sent: number }> {
    const url = new URL(receiverOf(mintmark))
    return new Promise(resolve => {
      let [answer, sent, isOver] = ['', 0, false]
      const socket = connect(Number(url.port), url.hostname, () => {
        socket.write(
          `POST /v1/logs HTTP/1.1\r\nHost: mintmark\r\nAuthorization: Bearer ${secret}\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`,
        )
        const more = () => {
          while (!isOver) {
            sent += chunk.length
            if (!socket.write(`${chunk.length.toString(16)}\r\n${chunk.toString('latin1')}\r\n`, 'latin1'))
              return
          }
        }
        socket.on('drain', more)
        more()
      })
      socket.on('data', data => {
        answer += data
      })
      socket.on('error', () => {})
      socket.on('close', () => {
        isOver = true
        resolve({ answer, sent })
      })
    })
  }

  it.each([
    ['application/json', true, '413'],
    ['application/x-protobuf', true, '413'],
    ['application/json', false, '401'],
  ])(
    'chunks without an end are answered, and cut off: %s, a secret: %s, %s',
    async (type, isKnown, status) => {
      await withReporter(async ({ secret }) => {
        const known = isKnown ? secret : 'mmr_unknown'
        if (isKnown) expect(await sendBy('JSON', known, { json: {}, protobuf: Buffer.alloc(0) })).toBe(200)
        const { answer, sent } = await sendChunks(type, known, Buffer.alloc(65_536, 0x20))
        expect(answer.slice(0, 12)).toBe(`HTTP/1.1 ${status}`)
        // What is read of it, and what the system holds of both ends.
        expect(sent).toBeLessThan(128 * 1_048_576)
      })
    },
  )

  it.each(['application/json', 'application/x-protobuf'])('1 GB that is packed into 1 MB: %s', async type => {
    await withReporter(async ({ id, secret }) => {
      const part = gzipSync(Buffer.alloc(64 * 1_048_576))
      const body = new Uint8Array(Buffer.concat(Array.from({ length: 16 }, () => part)))
      const headers = { authorization: `Bearer ${secret}`, 'content-type': type, 'content-encoding': 'gzip' }
      const answer = await repeatedWhileUnavailable(() =>
        fetch(`${receiverOf(mintmark)}/v1/logs`, { method: 'POST', headers, body }),
      )
      expect(answer.status).toBe(413)
      expect(await totalsOf(id)).toEqual({ requests: 0, input: '0', output: '0' })
    })
  })
})
