import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { AUTHORIZATION_SERVICE } from '../../src/gateway/grpc-check.ts'
import { GrpcListener } from '../../src/gateway/grpc-listener.ts'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'

const HEALTH_CHECK = '/grpc.health.v1.Health/Check'
const RESOURCE_EXHAUSTED = '8'

let clock: AdjustableClock
let listener: GrpcListener
let session: ClientHttp2Session
beforeEach(async () => {
  clock = adjustableClock()
  listener = GrpcListener.create(false, clock)
  await listener.listen({ host: '127.0.0.1', port: 0 })
  listener.serve(AUTHORIZATION_SERVICE, { Check: () => {} }, { ready: true, serving: true, reason: '' })
  session = connect(`http://127.0.0.1:${listener.address?.port}`)
})
afterEach(async () => {
  session.destroy()
  await listener.close(0)
})

/** A call whose message has this length, of which `sent` bytes are sent. */
function beginCall(length: number, sent: number): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': HEALTH_CHECK,
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(length, 1)
  stream.write(Buffer.concat([frame, Buffer.alloc(sent, 1)]))
  return stream
}

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

it('closes the connection of a message that does not come, and of no other', async () => {
  const other = connect(`http://127.0.0.1:${listener.address?.port}`)
  const closed = once(session, 'close')
  for (let call = 0; call < 100; call++) beginCall(100_000, 60_000).on('error', () => {})
  await once(other, 'connect')
  await expect
    .poll(() => {
      clock.forward(6)
      return session.destroyed
    })
    .toBe(true)
  await closed
  expect(other.destroyed).toBe(false)
  other.destroy()
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
