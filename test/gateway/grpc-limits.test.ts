import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { GrpcListener } from '../../src/gateway/grpc-listener.ts'
import { HeldBytes } from '../../src/http/held-bytes.ts'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'

const HEALTH_CHECK = '/grpc.health.v1.Health/Check'
const RESOURCE_EXHAUSTED = '8'
/** For a machine that does much else. */
const BUSY = { timeout: 15_000, interval: 100 }

let clock: AdjustableClock
let listener: GrpcListener
let session: ClientHttp2Session
beforeEach(async () => {
  clock = adjustableClock()
  listener = GrpcListener.create(false, clock)
  await listener.listen({ host: '127.0.0.1', port: 0 })
  listener.serve({}, { ready: true, serving: true, reason: '' })
  session = connect(`http://127.0.0.1:${listener.address?.port}`)
})
afterEach(async () => {
  session.destroy()
  await listener.close(0, 0)
})

const requestTo = (of: ClientHttp2Session, path = HEALTH_CHECK): ClientHttp2Stream =>
  of.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' })

/** A call whose message has this length, of which `sent` bytes are sent, after so many of its prefix. */
function beginCall(
  length: number,
  sent: number,
  prefixBytes = 5,
  of = session,
  path = HEALTH_CHECK,
): ClientHttp2Stream {
  const stream = requestTo(of, path)
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(length, 1)
  stream.write(Buffer.concat([frame.subarray(0, prefixBytes), Buffer.alloc(sent, 1)]))
  return stream
}

/** The server has seen everything that was sent before. */
const pong = (of: ClientHttp2Session) => new Promise(resolve => of.ping(resolve))

async function statusOf(stream: ClientHttp2Stream): Promise<string> {
  const [headers] = await once(stream, 'response')
  return headers['grpc-status'] as string
}

it('answers a whole call', async () => {
  const stream = beginCall(0, 0)
  const trailers = once(stream, 'trailers')
  stream.end()
  expect((await trailers)[0]['grpc-status']).toBe('0')
})

it.each([
  ['headers without a message', () => beginCall(0, 0, 0)],
  ['a message without its end', () => beginCall(100_000, 60_000)],
  ['a whole message without the end of the request', () => beginCall(131_071, 131_071)],
])('resets %s in time, and keeps the connection', async (_, begin) => {
  await pong(session)
  const stream = begin()
  const closed = new Promise(resolve => stream.once('close', resolve))
  stream.on('error', () => {})
  await pong(session)
  clock.forward(6)
  await closed
  expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  expect(session.destroyed).toBe(false)
})

it('keeps the connection of a gateway whose clients leave by the hundred', async () => {
  await pong(session)
  for (let part = 0; part < 15; part++) {
    const left = Array.from({ length: 100 }, () => beginCall(100, 10))
    await pong(session)
    await Promise.all(
      left.map(stream => {
        const closed = once(stream, 'close')
        stream.close(constants.NGHTTP2_CANCEL)
        return closed
      }),
    )
  }
  const stream = beginCall(0, 0)
  const trailers = once(stream, 'trailers')
  stream.end()
  expect((await trailers)[0]['grpc-status']).toBe('0')
  expect(session.destroyed).toBe(false)
})

it('resets calls whose answers are not read', async () => {
  const blind = connect(`http://127.0.0.1:${listener.address?.port}`, { settings: { initialWindowSize: 0 } })
  const stream = beginCall(0, 0, 5, blind)
  stream.on('error', () => {})
  stream.end()
  await once(stream, 'response')
  await expect
    .poll(() => {
      clock.forward(10)
      return stream.closed || blind.destroyed
    }, BUSY)
    .toBe(true)
  blind.destroy()
})

it('ends connections that are idle, and after an hour all', async () => {
  const idle = once(session, 'close')
  await once(session, 'remoteSettings')
  await expect
    .poll(() => {
      clock.forward(30)
      return session.destroyed
    }, BUSY)
    .toBe(true)
  await idle
  session = connect(`http://127.0.0.1:${listener.address?.port}`)
  const watch = beginCall(0, 0, 5, session, '/grpc.health.v1.Health/Watch')
  watch.on('error', () => {})
  watch.end()
  await once(watch, 'data')
  const old = session
  const goneAway = once(old, 'goaway')
  clock.forward(3_600)
  expect((await goneAway)[0]).toBe(constants.NGHTTP2_NO_ERROR)
  await expect
    .poll(() => {
      clock.forward(10)
      return old.destroyed
    }, BUSY)
    .toBe(true)
})

it('has at most 100 watches', async () => {
  const watch = () => {
    const stream = beginCall(0, 0, 5, session, '/grpc.health.v1.Health/Watch')
    stream.on('error', () => {})
    stream.end()
    return once(stream, 'response').then(([headers]) => headers['grpc-status'] as string | undefined)
  }
  const statuses = await Promise.all(Array.from({ length: 110 }, watch))
  expect(statuses.filter(status => status === undefined)).toHaveLength(100)
  expect(statuses.filter(status => status === RESOURCE_EXHAUSTED)).toHaveLength(10)
})

it.each([
  ['compressed', Buffer.from([1, 0, 0, 0, 0]), '12'],
  ['two', Buffer.alloc(10), '12'],
  ['half a prefix', Buffer.alloc(3), '3'],
  ['no message', Buffer.alloc(0), '3'],
])('refuses %s', async (_, bytes, status) => {
  const stream = requestTo(session)
  const refused = statusOf(stream)
  stream.end(bytes)
  expect(await refused).toBe(status)
})

it('answers a message that comes byte by byte', async () => {
  const stream = requestTo(session)
  const trailers = once(stream, 'trailers')
  for (const byte of [0, 0, 0, 0, 2, 10, 0]) stream.write(Buffer.from([byte]))
  stream.end()
  stream.resume()
  expect((await trailers)[0]['grpc-status']).toBe('0')
})

it('answers an unknown method, and a request that is not of gRPC', async () => {
  const unknown = beginCall(10, 0, 5, session, '/a.b/C')
  expect(await statusOf(unknown)).toBe('12')
  const other = session.request({ ':method': 'GET', ':path': HEALTH_CHECK })
  expect((await once(other, 'response'))[0][':status']).toBe(415)
  const web = session.request({
    ':method': 'POST',
    ':path': HEALTH_CHECK,
    'content-type': 'application/grpc-web',
  })
  expect((await once(web, 'response'))[0][':status']).toBe(415)
})

it('of more than can be held drops the oldest, and answers others meanwhile', async () => {
  const bounded = GrpcListener.create(false, clock, new HeldBytes(1_000_000))
  await bounded.listen({ host: '127.0.0.1', port: 0 })
  bounded.serve({}, { ready: true, serving: true, reason: '' })
  const stalling = connect(`http://127.0.0.1:${bounded.address?.port}`)
  const honest = connect(`http://127.0.0.1:${bounded.address?.port}`)
  const dropped: number[] = []
  try {
    for (let call = 0; call < 20; call++) {
      const stream = beginCall(131_072, 131_000, 5, stalling)
      stream.on('error', () => {}).once('close', () => dropped.push(call))
    }
    await expect.poll(() => dropped.length, BUSY).toBeGreaterThanOrEqual(10)
    expect(stalling.destroyed).toBe(false)
    const stream = beginCall(0, 0, 5, honest)
    const trailers = once(stream.resume(), 'trailers')
    stream.end()
    expect((await trailers)[0]['grpc-status']).toBe('0')
    expect(dropped.length).toBeLessThan(20)
  } finally {
    stalling.destroy()
    honest.destroy()
    await bounded.close(0, 0)
  }
})

it('refuses a message that is longer than the headers of a request, before it has come', async () => {
  expect(await statusOf(beginCall(3_600_000, 10))).toBe(RESOURCE_EXHAUSTED)
})

it('closes connections of one address beyond 256, and takes others once some have gone', async () => {
  const sockets: Socket[] = []
  const open = async () => {
    const socket = connectTcp(listener.address?.port ?? 0, '127.0.0.1')
    socket.on('error', () => {})
    sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }
  try {
    const opened = await Promise.all(Array.from({ length: 300 }, open))
    await expect.poll(() => opened.filter(socket => socket.closed).length).toBeGreaterThanOrEqual(44)
    const kept = opened.filter(socket => !socket.closed)
    expect(kept.length).toBeGreaterThan(200)
    for (const socket of kept.slice(0, 50)) socket.destroy()
    await expect
      .poll(async () => {
        const socket = await open()
        await Promise.race([once(socket, 'data'), once(socket, 'close')])
        return socket.bytesRead
      })
      .toBeGreaterThan(0)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})
