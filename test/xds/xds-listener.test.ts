import { once } from 'node:events'
import { connect, type SecureClientSessionOptions } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { delimitedField, numberField } from '../../src/http/protobuf.ts'
import type { Clock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { Secret } from '../../src/system/secret.ts'
import { GatewayConnections } from '../../src/token-revocations/gateway-connections.ts'
import { FILTER_NAME } from '../../src/xds/deny-filter.ts'
import { EXTENSION_CONFIG, METHOD, readRequest } from '../../src/xds/discovery-messages.ts'
import { XdsListener } from '../../src/xds/xds-listener.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'
import { callsAtOnce } from '../support/calls-at-once.ts'
import { type Certificate, makeAuthority, makeCertificate } from '../support/certificates.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const TOKEN = 'x'.repeat(32)
const AUTHORITY = makeAuthority('Gateways')
const STRANGER = makeAuthority('Stranger')
const SERVER = makeCertificate(AUTHORITY, {
  name: 'mintmark',
  authorityName: 'Gateways',
  dnsNames: ['localhost'],
})
const CLIENT = makeCertificate(AUTHORITY, { name: 'envoy', authorityName: 'Gateways' })
const FOREIGN = makeCertificate(STRANGER, { name: 'envoy', authorityName: 'Stranger' })

const logger = createLogger('silent', { write: () => {} })
let listener: XdsListener | undefined
let connections: GatewayConnections
let runs = 0
/** Times that a time was asked for: once for each new stream. */
let asked = 0
const adjustable = adjustableClock()
const clock: Clock = {
  ...adjustable,
  sleep: (ms, signal) =>
    ms === HANDSHAKE_MS ? new Promise(resolve => handshakesOver.push(resolve)) : adjustable.sleep(ms, signal),
  every: (ms, task) => {
    if (ms === CHECK_MS) checkConnections = task
    return adjustable.every(ms, () => task().finally(() => runs++))
  },
}
const CHECK_MS = 15_000
const HANDSHAKE_MS = 10_000
/** Each ends the time that a connection has to begin TLS. */
const handshakesOver: (() => void)[] = []
let checkConnections = async () => {}
/** A gateway that has just connected stays in any case. */
const CONNECTED_SECONDS = 6
afterEach(() => listener?.close())

type Config = NonNullable<ConstructorParameters<typeof XdsListener>[0]>

async function start(
  config: Config,
  seenUntil: () => number | undefined = () => 1_000,
  ofOneSource = 10,
): Promise<string> {
  const most = { total: 10, ofOneSource }
  const policy = { most, sourceOf: (address: string) => address, isProxy: () => false, logger }
  listener = new XdsListener(config, clock, policy)
  await listener.listen({ host: 'localhost', port: 0 })
  const source = {
    revision: 1,
    isNewest: () => true,
    get seenUntil() {
      return seenUntil()
    },
    filter: Buffer.alloc(0),
    entries: [],
  }
  connections = new GatewayConnections({ registered: ['inference'], now: () => 1_000 })
  asked = 0
  const now = () => {
    asked++
    return 1_000
  }
  listener.serve({ source, connections, logger, now })
  return `${config.tls ? 'https' : 'http'}://localhost:${listener.address?.port}`
}

const framed = (message: Buffer, length = message.length) => {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(length, 1)
  return Buffer.concat([prefix, message])
}
const REQUEST = framed(Buffer.concat([delimitedField(3, FILTER_NAME), delimitedField(4, EXTENSION_CONFIG)]))

/** What a gateway receives first: a message, a status, or the end. */
async function ask(
  url: string,
  headers: Record<string, string>,
  options: SecureClientSessionOptions = {},
  sent = REQUEST,
): Promise<string> {
  const session = connect(url, options)
  session.on('error', () => {})
  try {
    const stream = session.request({ ':method': 'POST', ':path': METHOD, ...headers })
    stream.on('error', () => {})
    const status = once(stream, 'response').then(([answer]) => answer['grpc-status'])
    stream.write(sent)
    const first = await Promise.race([
      once(stream, 'data').then(() => 'the list'),
      status.then(found => (found === undefined ? new Promise<never>(() => {}) : `status ${found}`)),
      once(session, 'close').then(() => 'closed'),
      once(stream, 'close').then(() => 'ended'),
    ])
    return first
  } catch {
    return 'closed'
  } finally {
    session.destroy()
  }
}

const unnamed = (token: string) => ({ gateway: undefined, token: new Secret(token) })
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('with tokens', () => {
  const config: Config = {
    tokens: [unnamed('y'.repeat(32)), { gateway: 'inference', token: new Secret(TOKEN) }],
    tls: undefined,
  }

  it.each<[string, Record<string, string>, string]>([
    ['one of them', bearer(TOKEN), 'the list'],
    ['another one', bearer('z'.repeat(32)), 'status 16'],
    ['none', {}, 'status 16'],
    [
      'another method',
      { ...bearer(TOKEN), ':path': '/envoy.service.auth.v3.Authorization/Check' },
      'status 12',
    ],
  ])('%s', async (_, headers, expected) => {
    expect(await ask(await start(config), headers)).toBe(expected)
  })

  it.each([
    ['a message that is too long', framed(Buffer.from('x'), 70_000)],
    ['a compressed message', Buffer.concat([Buffer.from([1]), REQUEST.subarray(1)])],
    ['a message that is none', framed(Buffer.from('\xff\xff\xff', 'latin1'))],
    ['a request for something else', framed(delimitedField(3, 'other'))],
  ])('ends the stream for %s', async (_, sent) => {
    expect(await ask(await start(config), bearer(TOKEN), {}, sent)).toBe('ended')
  })
})

describe('a node', () => {
  const text = (field: number, value: string) => delimitedField(field, value)
  const entry = (name: string, value: string) =>
    delimitedField(1, Buffer.concat([text(1, name), delimitedField(2, text(3, value))]))
  const version = Buffer.concat([numberField(1, 1), numberField(2, 40), numberField(3, 3)])
  const node = Buffer.concat([
    text(1, 'envoy-\u0000a'),
    text(2, 'c'.repeat(300)),
    delimitedField(
      3,
      Buffer.concat([entry('mintmark.contract', '1'), entry('mintmark.enforces', 'revocations limits')]),
    ),
    text(6, 'envoy'),
    delimitedField(8, delimitedField(1, version)),
  ])

  it('is read as far as it is reported, bounded and printable', () => {
    expect(readRequest(Buffer.concat([delimitedField(2, node), text(3, FILTER_NAME)])).node).toEqual({
      id: 'envoy-a',
      cluster: 'c'.repeat(128),
      envoyVersion: '1.40.3',
      contract: '1',
      enforces: ['revocations', 'limits'],
    })
  })

  it('of a connection is reported under the name of its token, until it closes', async () => {
    const url = await start({ tokens: [{ gateway: 'inference', token: new Secret(TOKEN) }], tls: undefined })
    expect(connections.counts).toEqual({ other: 0, inference: 0 })
    const session = connect(url)
    const stream = session.request({ ':method': 'POST', ':path': METHOD, ...bearer(TOKEN) })
    stream.write(
      framed(Buffer.concat([delimitedField(2, node), text(3, FILTER_NAME), text(4, EXTENSION_CONFIG)])),
    )
    await once(stream, 'data')
    expect(connections.counts).toEqual({ other: 0, inference: 1 })
    expect(connections.report.instances).toMatchObject([
      { gateway: 'inference', registered: true, id: 'envoy-a', contract: '1', version: null },
    ])
    session.destroy()
    await until('it is gone', () => connections.report.instances.length === 0)
    expect(connections.report.disconnected).toEqual({ inference: 1_000 })
  })
})

describe('while this replica does not read changes', () => {
  const config: Config = { tokens: [unnamed(TOKEN)], tls: undefined }

  it.each<[string, number | undefined]>([
    ['for more than five seconds', -4_001],
    ['because it serves from a snapshot', undefined],
  ])('%s, a gateway is sent away, and may connect again', async (_, then) => {
    let seenUntil: number | undefined = 1_000
    const url = await start(config, () => seenUntil)
    const session = connect(url)
    const stream = session.request({ ':method': 'POST', ':path': METHOD, ...bearer(TOKEN) })
    stream.write(REQUEST)
    await once(stream, 'data')
    const trailers = once(stream, 'trailers')
    const goodbye = once(session, 'goaway')
    const over = once(session, 'close')
    adjustable.forward(CONNECTED_SECONDS)
    seenUntil = then
    expect((await trailers)[0]).toMatchObject({ 'grpc-status': '14' })
    await Promise.all([goodbye, over])
    seenUntil = 2_000
    expect(await ask(url, bearer(TOKEN))).toBe('the list')
  })

  it('for less than that, it stays', async () => {
    const url = await start(config, () => -3_999)
    const session = connect(url)
    const stream = session.request({ ':method': 'POST', ':path': METHOD, ...bearer(TOKEN) })
    stream.write(REQUEST)
    await once(stream, 'data')
    adjustable.forward(CONNECTED_SECONDS)
    const before = runs
    await until('every job of 50 ms has run', () => runs > before + 2)
    expect([session.closed, stream.closed]).toEqual([false, false])
    session.destroy()
  })
})

it('a gateway that has not answered since the last check is given up, and another one stays', async () => {
  const url = await start({ tokens: [{ gateway: 'inference', token: new Secret(TOKEN) }], tls: undefined })
  const proxy = await TcpProxy.before(url)
  const [silent, live] = [connect(proxy.url), connect(url)] as const
  try {
    for (const session of [silent, live]) {
      session.on('error', () => {})
      const stream = session.request({ ':method': 'POST', ':path': METHOD, ...bearer(TOKEN) })
      stream.on('error', () => {})
      stream.write(REQUEST)
      await once(stream, 'data')
    }
    expect(connections.counts).toMatchObject({ inference: 2 })
    await proxy.become('freeze')
    const asked = once(live, 'ping')
    await checkConnections()
    await asked
    // Answered after the other one's answer arrived.
    await new Promise<void>(done => void live.ping(() => done()))
    expect(connections.counts).toMatchObject({ inference: 2 })
    await checkConnections()
    await until('it is given up', () => connections.counts.inference === 1)
    expect(live.closed).toBe(false)
  } finally {
    for (const session of [silent, live]) session.destroy()
    await proxy.close()
  }
})

it('frames of all connections are read a few in a turn of the event loop', async () => {
  const url = await start({ tokens: [{ gateway: 'inference', token: new Secret(TOKEN) }], tls: undefined })
  let [seen, most] = [0, 0]
  let turn = setImmediate(function next() {
    most = Math.max(most, asked - seen)
    seen = asked
    turn = setImmediate(next)
  })
  const port = Number(new URL(url).port)
  const sockets = Array.from({ length: 8 }, () => connectTcp(port, 'localhost').on('error', () => {}))
  try {
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    for (const socket of sockets) socket.resume().write(callsAtOnce(METHOD, 16, bearer(TOKEN)))
    await until(
      'every stream has been seen',
      () => seen,
      count => count >= 8 * 16,
    )
    expect(most).toBeLessThanOrEqual(32)
  } finally {
    clearImmediate(turn)
    for (const socket of sockets) socket.destroy()
  }
})

it.each([
  ['in plain text', undefined],
  ['with TLS', { certificate: SERVER.certificate, key: new Secret(SERVER.key), clientCa: undefined }],
])(
  'another connection of its source takes the place of a silent one, not of a gateway: %s',
  async (_, tls) => {
    const url = await start(
      { tokens: [{ gateway: 'inference', token: new Secret(TOKEN) }], tls },
      () => 1_000,
      2,
    )
    const options = { ca: AUTHORITY.certificate }
    const gateway = connect(url, options).on('error', () => {})
    const silent = () => connectTcp(Number(new URL(url).port), 'localhost').on('error', () => {})
    const stream = gateway.request({ ':method': 'POST', ':path': METHOD, ...bearer(TOKEN) })
    stream.on('error', () => {})
    stream.write(REQUEST)
    await once(stream, 'data')
    const first = silent().resume()
    const closed = once(first, 'close')
    await once(first, 'connect')
    const second = silent()
    try {
      await closed
      expect([gateway.destroyed, listener?.closedConnections]).toEqual([false, 1])
    } finally {
      gateway.destroy()
      second.destroy()
    }
  },
)

it('a connection that begins no TLS in its time is closed', async () => {
  const tls = { certificate: SERVER.certificate, key: new Secret(SERVER.key), clientCa: undefined }
  const url = await start({ tokens: [unnamed(TOKEN)], tls })
  const silent = connectTcp(Number(new URL(url).port), 'localhost')
    .on('error', () => {})
    .resume()
  const closed = once(silent, 'close')
  await once(silent, 'connect')
  // Its listener has it once a later one is answered.
  expect(await ask(url, bearer(TOKEN), { ca: AUTHORITY.certificate })).toBe('the list')
  expect(silent.readyState).toBe('open')
  for (const over of handshakesOver) over()
  await closed
})

describe('with client certificates', () => {
  const tls = {
    certificate: SERVER.certificate,
    key: new Secret(SERVER.key),
    clientCa: AUTHORITY.certificate,
  }
  const shown = ({ certificate, key }: Certificate) => ({ ca: AUTHORITY.certificate, cert: certificate, key })

  it.each<[string, SecureClientSessionOptions, string]>([
    ['one of the authority', shown(CLIENT), 'the list'],
    ['one of another authority', shown(FOREIGN), 'nothing'],
    ['none', { ca: AUTHORITY.certificate }, 'nothing'],
  ])('%s', async (_, options, expected) => {
    const url = await start({ tokens: [], tls })
    // In TLS 1.3 a client learns after its handshake that its certificate was not accepted.
    const found = await ask(url, {}, options)
    expect(found === 'closed' || found === 'ended' ? 'nothing' : found).toBe(expected)
  })

  it('and tokens: both are required', async () => {
    const url = await start({ tokens: [unnamed(TOKEN)], tls })
    expect(await ask(url, {}, shown(CLIENT))).toBe('status 16')
    expect(await ask(url, bearer(TOKEN), shown(CLIENT))).toBe('the list')
  })

  it('a gateway does not trust a listener of another authority', async () => {
    const url = await start({ tokens: [unnamed(TOKEN)], tls })
    expect(await ask(url, bearer(TOKEN), { ...shown(CLIENT), ca: STRANGER.certificate })).toBe('closed')
  })
})
