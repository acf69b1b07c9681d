import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from 'node:http2'
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Socket,
} from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkMessages } from '../../src/gateway/grpc-check.ts'
import type { ConnectionPolicy } from '../../src/http/connection-limits.ts'
import { GrpcCall } from '../../src/http/grpc-call.ts'
import { GrpcHealth } from '../../src/http/grpc-health.ts'
import { GrpcListener } from '../../src/http/grpc-listener.ts'
import { FrameTurns, PacedSocket } from '../../src/http/grpc-turns.ts'
import { HeldBytes } from '../../src/http/held-bytes.ts'
import { createLogger } from '../../src/system/logger.ts'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'
import { callsAtOnce } from '../support/calls-at-once.ts'

const HEALTH_CHECK = '/grpc.health.v1.Health/Check'
/** A method that answers every message. */
const ANSWER = '/a.b/Answer'
const METHODS = { [ANSWER]: (call: GrpcCall) => void call.answer(Buffer.alloc(0)) }
const RESOURCE_EXHAUSTED = '8'
/** For a machine that does much else. */
const BUSY = { timeout: 15_000, interval: 100 }

const READY = { ready: true, serving: true, reason: '' }
const SILENT = createLogger('silent')
const POLICY: ConnectionPolicy = {
  most: { total: 2_000, ofOneSource: 256 },
  sourceOf: address => address,
  isProxy: () => false,
  logger: SILENT,
}

const portOf = ({ address }: GrpcListener) => address?.port ?? 0

let clock: AdjustableClock
let listener: GrpcListener
let session: ClientHttp2Session
beforeEach(async () => {
  clock = adjustableClock()
  listener = GrpcListener.create({ name: 'gateway_grpc', ...checkMessages(false) }, clock, POLICY)
  await listener.listen({ host: '127.0.0.1', port: 0 })
  listener.serve(METHODS, READY, SILENT)
  session = connect(`http://127.0.0.1:${portOf(listener)}`).on('error', () => {})
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
  path = ANSWER,
): ClientHttp2Stream {
  const stream = requestTo(of, path)
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(length, 1)
  stream.write(Buffer.concat([frame.subarray(0, prefixBytes), Buffer.alloc(sent, 1)]))
  return stream
}

/** The server has seen everything that was sent before. */
const pong = (of: ClientHttp2Session) => new Promise(resolve => of.ping(resolve))

/** As from another machine. */
function connectFrom(localAddress: string, to: GrpcListener, settings = {}): ClientHttp2Session {
  const port = portOf(to)
  return connect(`http://127.0.0.1:${port}`, {
    settings,
    createConnection: () => connectTcp({ port, host: '127.0.0.1', localAddress }),
  }).on('error', () => {})
}

async function trailersOf(stream: ClientHttp2Stream) {
  const trailers = once(stream.resume(), 'trailers')
  stream.end()
  return (await trailers)[0]
}

async function statusOf(stream: ClientHttp2Stream): Promise<string> {
  const [headers] = await once(stream, 'response')
  return headers['grpc-status'] as string
}

it('answers a whole call', async () => {
  expect(await trailersOf(beginCall(0, 0))).toMatchObject({ 'grpc-status': '0' })
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
  expect(await trailersOf(beginCall(0, 0))).toMatchObject({ 'grpc-status': '0' })
  expect(session.destroyed).toBe(false)
})

it('resets calls whose answers are not read', async () => {
  const blind = connect(`http://127.0.0.1:${portOf(listener)}`, { settings: { initialWindowSize: 0 } })
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
  session = connect(`http://127.0.0.1:${portOf(listener)}`)
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

it('has at most 10 watches of one address, and others beside them', async () => {
  const watch = (of: ClientHttp2Session) => {
    const stream = beginCall(0, 0, 5, of, '/grpc.health.v1.Health/Watch')
    stream.on('error', () => {})
    stream.end()
    return once(stream, 'response').then(([headers]) => headers['grpc-status'] as string | undefined)
  }
  const statuses = await Promise.all(Array.from({ length: 15 }, () => watch(session)))
  expect(statuses.filter(status => status === undefined)).toHaveLength(10)
  expect(statuses.filter(status => status === RESOURCE_EXHAUSTED)).toHaveLength(5)
  const other = connectFrom('127.0.0.2', listener)
  expect(await watch(other)).toBeUndefined()
  other.destroy()
})

it('counts the watches of one IPv6 network together, up to 100', async () => {
  const health = new GrpcHealth(READY, clock)
  const { held } = checkMessages(false)
  const server = createHttp2Server().on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    const peer = String(headers['x-peer'])
    health.watch(new GrpcCall(stream, headers, { ...{ longest: 10, packed: false, held }, peer }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const direct = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    const watch = (peer: string) => statusOf(direct.request({ ':method': 'POST', 'x-peer': peer }))
    const ofNetwork = Array.from({ length: 101 }, (_, i) => watch(`2001:db8:0:${i.toString(16)}::${i + 1}`))
    expect((await Promise.all(ofNetwork)).filter(status => status === RESOURCE_EXHAUSTED)).toHaveLength(1)
    expect(await watch('2001:db8:0:100::1')).toBeUndefined()
  } finally {
    direct.destroy()
    health.close()
    server.close()
  }
})

it.each(['Check', 'Watch'])('refuses a message of Health/%s that is longer than any', async method => {
  const path = `/grpc.health.v1.Health/${method}`
  expect(await statusOf(beginCall(1_025, 10, 5, session, path))).toBe(RESOURCE_EXHAUSTED)
  const answered = beginCall(1_024, 1_024, 5, session, path)
  answered.on('error', () => {}).end()
  expect(await statusOf(answered)).toBeUndefined()
})

describe('the turns of connections', () => {
  /** Of each connection: the preface counts as a frame. */
  const TURNS = 3
  const FRAMES = Buffer.alloc(24 + 9 * (32 * TURNS - 1))

  /** The addresses in the order in which they are read, once everything has arrived. */
  async function order(addresses: string[]): Promise<string[]> {
    const turns = new FrameTurns()
    const arrived: Socket[] = []
    const paced: PacedSocket[] = []
    const server = createTcpServer(socket => {
      arrived.push(socket)
      paced.push(new PacedSocket(socket, turns))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const clients: Socket[] = []
    try {
      for (const localAddress of addresses) {
        const client = connectTcp({ host: '127.0.0.1', port, localAddress })
        clients.push(client)
        client.on('error', () => {}).write(FRAMES)
        await expect.poll(() => arrived[clients.length - 1]?.readableLength, BUSY).toBe(FRAMES.length)
      }
      const read: string[] = []
      for (const each of paced) each.on('data', () => read.push(each.peer))
      await expect.poll(() => read.length, BUSY).toBe(addresses.length * TURNS)
      return read
    } finally {
      for (const client of clients) client.destroy()
      server.close()
    }
  }

  it('alternate between networks, however many addresses one has', async () => {
    const flood = Array.from({ length: 20 }, (_, i) => `127.0.7.${i + 1}`)
    const read = await order([...flood, '127.0.8.1'])
    expect(read.lastIndexOf('127.0.8.1')).toBeLessThanOrEqual(2 * TURNS + 1)
  })

  it('alternate between the addresses of one network, however many connections one has', async () => {
    const flood = Array.from({ length: 20 }, () => '127.0.7.1')
    const read = await order([...flood, '127.0.7.2'])
    expect(read.lastIndexOf('127.0.7.2')).toBeLessThanOrEqual(2 * TURNS + 1)
  })
})

it('reads a few calls in each turn of the event loop, of however many that have arrived', async () => {
  let calls = 0
  let inTurn = 0
  let mostInTurn = 0
  const path = '/a.b/Count'
  const count = async (call: GrpcCall) => {
    calls++
    mostInTurn = Math.max(mostInTurn, ++inTurn)
    call.answer(Buffer.alloc(0))
  }
  listener.serve({ [path]: count }, READY, SILENT)
  let turn = setImmediate(function next() {
    inTurn = 0
    turn = setImmediate(next)
  })
  const sockets = Array.from({ length: 10 }, () => connectTcp(portOf(listener), '127.0.0.1'))
  try {
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    for (const socket of sockets) socket.resume().write(callsAtOnce(path, 50))
    await expect.poll(() => calls, BUSY).toBe(500)
    expect(mostInTurn).toBeLessThanOrEqual(32)
  } finally {
    clearImmediate(turn)
    for (const socket of sockets) socket.destroy()
  }
})

it.each([
  [
    'throws',
    () => {
      throw new Error('broken')
    },
  ],
  ['rejects', () => Promise.reject(new Error('broken'))],
])('answers INTERNAL when a method %s, logs it once, and goes on', async (_, method) => {
  const lines: string[] = []
  const logger = createLogger('info', { write: line => lines.push(line) })
  listener.serve({ '/a.b/C': method }, READY, logger)
  const stream = beginCall(10, 10, 5, session, '/a.b/C')
  stream.end()
  expect(await statusOf(stream)).toBe('13')
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ path: '/a.b/C', err: { message: 'broken' } })
  expect(await trailersOf(beginCall(0, 0))).toMatchObject({ 'grpc-status': '0' })
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

describe('what requests hold together', () => {
  /** What is dropped of these requests, which hold `bytes` each in this order. */
  function dropped(peers: string[], bytes: number): string[] {
    const held = new HeldBytes(1_000)
    const gone: string[] = []
    for (const peer of peers) held.hold({ peer, drop: () => gone.push(peer) }, bytes)
    return gone
  }

  it('is shared between IPv6 networks, not between the addresses of one', () => {
    const flood = Array.from({ length: 9 }, (_, i) => `2001:db8:0:${i}::1`)
    expect(dropped(flood, 100)).toEqual(flood.slice(0, 4))
    expect(dropped([...flood.slice(0, 5), '2001:db8:0:100::1'], 100)).toEqual([])
  })

  it('is shared between IPv4 addresses', () => {
    const peers = Array.from({ length: 9 }, (_, i) => `192.0.2.${i}`)
    expect(dropped(peers, 100)).toEqual([])
  })
})

describe('of more than can be held', () => {
  let bounded: GrpcListener
  let stalling: ClientHttp2Session
  let honest: ClientHttp2Session
  const dropped: number[] = []
  beforeEach(async () => {
    const held = new HeldBytes(1_000_000)
    bounded = GrpcListener.create({ name: 'gateway_grpc', ...checkMessages(false), held }, clock, POLICY)
    await bounded.listen({ host: '127.0.0.1', port: 0 })
    bounded.serve({ ...METHODS, '/a.b/Slow': () => new Promise(() => {}) }, READY, SILENT)
    stalling = connectFrom('127.0.0.2', bounded)
    honest = connectFrom('127.0.0.1', bounded)
    dropped.length = 0
  })
  afterEach(async () => {
    stalling.destroy()
    honest.destroy()
    await bounded.close(0, 0)
  })
  const stall = (calls: number, begin: () => ClientHttp2Stream) => {
    for (let call = 0; call < calls; call++) {
      const stream = begin()
      stream.on('error', () => {}).once('close', () => dropped.push(call))
    }
  }

  it('drops the oldest, and answers others meanwhile', async () => {
    stall(20, () => beginCall(131_072, 131_000, 5, stalling))
    await expect.poll(() => dropped.length, BUSY).toBeGreaterThanOrEqual(10)
    expect(stalling.destroyed).toBe(false)
    expect(await trailersOf(beginCall(0, 0, 5, honest))).toMatchObject({ 'grpc-status': '0' })
    expect(dropped.length).toBeLessThan(20)
  })

  it('counts calls without a message', async () => {
    stall(100, () => beginCall(0, 0, 0, stalling))
    await expect.poll(() => dropped.length, BUSY).toBeGreaterThanOrEqual(50)
  })

  it('counts answers that are not read', async () => {
    stalling.destroy()
    stalling = connectFrom('127.0.0.2', bounded, { initialWindowSize: 0 })
    stall(100, () => beginCall(0, 0, 5, stalling).end())
    await expect.poll(() => dropped.length, BUSY).toBeGreaterThanOrEqual(50)
  })

  it('does not take what another peer needs, also when all messages have arrived', async () => {
    stall(20, () => beginCall(131_072, 131_072, 5, stalling, '/a.b/Slow').end())
    await expect.poll(() => dropped.length, BUSY).toBeGreaterThanOrEqual(10)
    // Dropped before it is read: there is nothing older to drop.
    const before = dropped.length
    stall(1, () => stalling.request({ ':method': 'GET', ':path': '/a.b/Slow' }))
    await expect.poll(() => dropped.length, BUSY).toBeGreaterThan(before)
    const answered = beginCall(131_000, 131_000, 5, honest)
    expect(await trailersOf(answered)).toMatchObject({ 'grpc-status': '0' })
  })
})

it('refuses a message that is longer than the headers of a request, before it has come', async () => {
  expect(await statusOf(beginCall(3_600_000, 10))).toBe(RESOURCE_EXHAUSTED)
})

it('closes connections of one address beyond 256, and takes others once some have gone', async () => {
  const sockets: Socket[] = []
  const open = async () => {
    const socket = connectTcp(portOf(listener), '127.0.0.1')
    socket.on('error', () => {}).resume()
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
