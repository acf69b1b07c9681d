import { request } from 'node:http'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { gzipSync } from 'node:zlib'
import { delimitedField } from '../../../src/http/protobuf.ts'
import { CHECK_PATH, checkMessage, GRPC_HEADERS, HEALTH_PATH, prefix, WATCH_PATH } from './check-requests.ts'

/**
 * A process that attacks the gateway listeners until it is killed: `node gateway-attacks.ts <attack> <HTTP URL> <gRPC
 * URL> <a valid key>`. It sends its parent how many streams, requests or batches of frames it has begun.
 */

/** An address of its own, as another machine has. */
const ADDRESS = '127.0.0.2'
const CONNECTIONS = 10
/** Fewer than one address may have. */
const MANY_CONNECTIONS = 240
const STREAMS = 120
const MEBIBYTE = 1024 * 1024
const LARGE = 4 * MEBIBYTE
/** Repeats what a limit has ended. */
const AGAIN_MS = 50
/** HTTP/2 frames are 9 bytes and a payload: length, type, flags, stream. */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const SETTINGS = 4
const PING = 6
const CONTINUATION = 9
const HEADERS = 1
const PRIORITY = 2

let begun = 0
const [, , attack = '', httpUrl = '', grpcUrl = '', secret = ''] = process.argv

/** Keeps so many streams running over each of so many connections. */
function streams(
  begin: (session: ClientHttp2Session) => ClientHttp2Stream | undefined,
  of = STREAMS,
  settings = {},
  connections = CONNECTIONS,
) {
  const { hostname: host, port } = new URL(grpcUrl)
  const createConnection = () => connectTcp({ host, port: Number(port), localAddress: ADDRESS })
  const open = () => {
    const session = connect(grpcUrl, { settings, createConnection })
    session.on('error', () => {}).once('close', () => setTimeout(open, AGAIN_MS))
    session.once('remoteSettings', () => {
      for (let n = 0; n < of; n++) run(session)
    })
  }
  const run = (session: ClientHttp2Session) => {
    if (session.destroyed || session.closed) return
    const stream = begin(session)
    begun++
    stream?.on('error', () => {}).resume()
    stream?.once('close', () => setTimeout(run, AGAIN_MS, session))
  }
  for (let n = 0; n < connections; n++) open()
}

/** Sends the same frames as fast as they are taken, over connections without a library. */
function frames(bytes: Buffer) {
  const open = () => {
    const { hostname, port } = new URL(grpcUrl)
    const socket = connectTcp({ host: hostname, port: Number(port), localAddress: ADDRESS })
    const send = () => {
      let taken = true
      while (taken && !socket.destroyed) {
        taken = socket.write(bytes)
        begun++
      }
    }
    socket
      .on('error', () => {})
      .on('drain', send)
      .resume()
    socket.once('close', () => setTimeout(open, AGAIN_MS))
    socket.once('connect', () => {
      socket.write(PREFACE)
      socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)))
      send()
    })
  }
  for (let n = 0; n < 4; n++) open()
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
const many = (bytes: Buffer) => Buffer.concat(Array.from({ length: 1_000 }, () => bytes))

const call = (session: ClientHttp2Session, path: string, headers = {}) =>
  session.request({ ...GRPC_HEADERS, ':path': path, ...headers })
const sending =
  (bytes: Buffer, headers = {}) =>
  (session: ClientHttp2Session) => {
    const stream = call(session, CHECK_PATH, headers)
    stream.write(bytes)
    return stream
  }
const asking =
  (bytes: Buffer, path = CHECK_PATH, headers = {}) =>
  (session: ClientHttp2Session) => {
    const stream = call(session, path, headers)
    stream.end(bytes)
    return stream
  }

/** Requests to /check over HTTP, one after the other on each of some connections. */
function bodies(count: number, body: Buffer, sent: number, headers: Record<string, string>) {
  const run = () => {
    const url = `${httpUrl}/check/v1/chat/completions`
    const again = () => setTimeout(run, AGAIN_MS)
    begun++
    const made = request(url, {
      method: 'POST',
      agent: false,
      localAddress: ADDRESS,
      headers: { 'content-type': 'application/json', 'content-length': body.length, ...headers },
    })
    made.on('response', answer => answer.resume()).on('error', () => {})
    made.once('close', again)
    made.write(body.subarray(0, sent))
    if (sent === body.length) made.end()
  }
  for (let n = 0; n < count; n++) run()
}

const bomb = gzipSync(Buffer.alloc(64 * MEBIBYTE))
const credential = { authorization: `Bearer ${secret}` }
const longName = Buffer.from(`{"${'a'.repeat(LARGE - 100)}":1,"model":"x"}`)
const emptyHeaders = delimitedField(
  13,
  Buffer.concat(Array.from({ length: 65_000 }, () => Buffer.from([10, 0]))),
)
const whole = Buffer.alloc(131_071)
const longest = Buffer.concat([prefix(LARGE), Buffer.alloc(LARGE)])

const ATTACKS: Record<string, () => void> = {
  'messages one byte short': () => streams(sending(longest.subarray(0, -1))),
  'whole messages without an end': () => streams(sending(Buffer.concat([prefix(whole.length), whole]))),
  'headers without a message': () => streams(sending(Buffer.alloc(0))),
  'half a prefix': () => streams(sending(Buffer.alloc(3))),
  'answers that are not read': () => streams(asking(checkMessage()), STREAMS, { initialWindowSize: 0 }),
  'streams that are reset': () =>
    streams(session => {
      const stream = asking(checkMessage())(session)
      setImmediate(() => stream.close(constants.NGHTTP2_CANCEL))
      return stream
    }),
  'calls over many connections': () => streams(asking(prefix(0), HEALTH_PATH), STREAMS, {}, MANY_CONNECTIONS),
  watches: () => streams(asking(prefix(0), WATCH_PATH)),
  '65,000 empty headers in a message': () => streams(asking(checkMessage(emptyHeaders)), 10),
  'compressed messages': () =>
    streams(
      asking(Buffer.concat([prefix(bomb.length, true), bomb]), CHECK_PATH, { 'grpc-encoding': 'gzip' }),
    ),
  'large header blocks': () =>
    streams(
      asking(
        prefix(0),
        CHECK_PATH,
        Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`x-${n}`, 'a'.repeat(900)])),
      ),
    ),
  'absurd timeouts': () => streams(asking(checkMessage(), CHECK_PATH, { 'grpc-timeout': '99999999H' })),
  pings: () => frames(many(frame(PING, 0, 0, Buffer.alloc(8)))),
  settings: () => frames(many(frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255])))),
  priorities: () => frames(many(frame(PRIORITY, 0, 1, Buffer.from([0, 0, 0, 0, 1])))),
  continuations: () =>
    frames(
      Buffer.concat([
        frame(HEADERS, 0, 1, Buffer.alloc(0)),
        many(frame(CONTINUATION, 0, 1, Buffer.alloc(0))),
      ]),
    ),
  'bodies without a credential': () => bodies(60, longName, LARGE - 200, {}),
  'bodies with an unknown key': () => bodies(60, longName, LARGE - 200, { authorization: 'Bearer nonsense' }),
  'long names with a good key': () => bodies(4, longName, longName.length, credential),
  'slow bodies with a good key': () => bodies(60, longName, LARGE - 200, credential),
}
const begin = ATTACKS[attack]
if (!begin) throw new Error(`unknown: ${attack}; known: ${Object.keys(ATTACKS).join(', ')}`)
begin()
setInterval(() => process.send?.(begun), 100)
process.once('disconnect', () => process.exit())
