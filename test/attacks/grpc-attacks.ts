import type { ServiceDefinition } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { AUTHORIZATION_PROTO } from '../gateway/grpc-proto.ts'
import { type Attack, flood, hold, type Target } from './attacks.ts'
import { http2Streams, rawExchange } from './raw-client.ts'

const MESSAGE_BYTES = 4_190_000
const MANY_HEADERS = 330_000
const CHECK = (fromJSON(AUTHORIZATION_PROTO)['envoy.service.auth.v3.Authorization'] as ServiceDefinition)
  .Check
const HEADERS = {
  ':path': '/envoy.service.auth.v3.Authorization/Check',
  'content-type': 'application/grpc',
  te: 'trailers',
}

/** A length-prefixed message, of which `missing` bytes do not come. */
export function framed(message: Buffer, missing = 0): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message.subarray(0, message.length - missing)])
}

const checkOf = (http: object): Buffer =>
  CHECK?.requestSerialize({ attributes: { request: { http } } }) ?? Buffer.alloc(0)

/** Messages are answered over streams that are not ended, and a denial is status 200 of HTTP. */
const streams = async (target: Target, count: number, ms: number, body: Buffer) => {
  const found = await http2Streams(target.url, count, HEADERS, body, { until: performance.now() + ms })
  return found.map(refusal => ({ ...refusal, status: refusal.status === 200 ? 401 : refusal.status }))
}

/** Every kind, for the gRPC listener. What it accepts it would answer with the tenant's headers, to the honest client only. */
export const GRPC_ATTACKS: readonly Attack[] = [
  {
    name: 'messages a byte short of 4 MB',
    run: (target, { ms, holding }) =>
      streams(target, 2 * holding, ms, framed(Buffer.alloc(MESSAGE_BYTES, 'a'), 1)),
  },
  {
    name: 'messages of 100 kB, a byte short',
    run: (target, { ms, silent }) => streams(target, silent / 3, ms, framed(Buffer.alloc(100_000, 'a'), 1)),
  },
  {
    name: 'whole messages of 4 MB without the end of the stream, no credential',
    run: (target, { ms, holding }) =>
      streams(target, holding, ms, framed(checkOf({ path: '/', rawBody: Buffer.alloc(BODY_BYTES, 'a') }))),
  },
  {
    name: 'messages with 330,000 headers',
    run: (target, { ms }) => streams(target, 3, ms, framed(checkOf({ path: '/', headers: many() }))),
  },
  {
    name: 'streams of which only the headers come',
    run: (target, { ms, silent }) => streams(target, silent / 3, ms, Buffer.alloc(0)),
  },
  {
    name: 'bodies that are slow to read, no credential',
    run: (target, scale) =>
      flood(scale, async () => {
        const rawBody = Buffer.from(`{"${'a'.repeat(BODY_BYTES)}":1}`)
        const [first] = await streams(target, 1, scale.ms / 4, framed(checkOf({ path: '/', rawBody })))
        return first ?? { status: 0 }
      }),
  },
  {
    name: 'connections that send nothing',
    run: (target, { ms, silent }) => hold(silent, ms, held => rawExchange(target.url, '', [], held)),
  },
  {
    name: 'connections with half of the preface',
    run: (target, { ms, silent }) =>
      hold(silent, ms, held => rawExchange(target.url, 'PRI * HTTP/2.0\r\n\r\nSM', [], held)),
  },
  {
    name: 'connections with the preface alone',
    run: (target, { ms, silent }) =>
      hold(silent, ms, held => rawExchange(target.url, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [], held)),
  },
]

const BODY_BYTES = 4_000_000
const many = () => Object.fromEntries(Array.from({ length: MANY_HEADERS }, (_, n) => [`h${n}`, '1']))
