import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ConnectionLimits } from '../../src/http/connection-limits.ts'
import { createLogger } from '../../src/system/logger.ts'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'
import { until } from '../support/until.ts'

const ATTACKER = '127.0.0.2'
const OTHER = '127.0.0.3'
const PROXY = '127.0.0.4'
const HONEST = '127.0.0.5'

let server: Server
let limits: ConnectionLimits
let clock: AdjustableClock
let lines: Record<string, unknown>[]
/** The server's ends, in the order of their connections. */
let accepted: Socket[]
let clients: Socket[]
beforeEach(async () => {
  lines = []
  accepted = []
  clients = []
  clock = adjustableClock()
  server = createServer(socket => accepted.push(socket.on('error', () => {})))
  const logger = createLogger('info', { write: line => lines.push(JSON.parse(line)) })
  const policy = {
    most: { total: 20, ofOneSource: 12 },
    sourceOf: (address: string) => address,
    isProxy: (address: string) => address === PROXY,
    logger,
  }
  limits = new ConnectionLimits(server, 'public', policy, clock)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => {
  for (const socket of clients) socket.destroy()
  server.close()
})

async function open(localAddress: string, count = 1): Promise<Socket[]> {
  const { port } = server.address() as AddressInfo
  const opened: Socket[] = []
  for (let n = 0; n < count; n++) {
    const before = accepted.length
    const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {})
    clients.push(socket.resume())
    opened.push(socket)
    await until('it is accepted', () => accepted.length > before)
  }
  return opened
}
const closed = (sockets: readonly Socket[]) => sockets.filter(socket => socket.destroyed).length
const untilClosed = (sockets: readonly Socket[], count: number) =>
  until(`${count} are closed`, () => closed(sockets) === count)

it('of one source closes the oldest without a request in progress', async () => {
  await open(ATTACKER, 12)
  const [busy] = accepted
  const end = limits.begin(busy as Socket)
  await open(ATTACKER, 2)
  expect(accepted.map(({ destroyed }) => destroyed).slice(0, 4)).toEqual([false, true, true, false])
  end()
  await open(ATTACKER)
  expect(busy?.destroyed).toBe(true)
  expect(limits.closed).toBe(3)
})

it('of one source refuses the new one while all have requests in progress', async () => {
  await open(ATTACKER, 12)
  for (const socket of accepted) limits.begin(socket)
  const [late] = await open(ATTACKER)
  await untilClosed([late as Socket], 1)
  expect(accepted.slice(0, 12).some(({ destroyed }) => destroyed)).toBe(false)
})

it('in total closes one of the source that has most, and none of the others', async () => {
  const honest = await open(HONEST, 3)
  await open(OTHER, 7)
  await open(ATTACKER, 30)
  await open(HONEST, 3)
  expect(closed(honest)).toBe(0)
  expect(accepted.slice(0, 3).some(({ destroyed }) => destroyed)).toBe(false)
  expect(accepted.slice(-3).some(({ destroyed }) => destroyed)).toBe(false)
  expect(accepted.filter(({ destroyed }) => !destroyed)).toHaveLength(20)
})

it('in total closes one of the source that has most, also when all its requests are in progress', async () => {
  await open(ATTACKER, 12)
  for (const socket of accepted) limits.begin(socket)
  await open(OTHER, 8)
  await open(HONEST)
  expect(accepted[0]?.destroyed).toBe(true)
  expect(accepted.at(-1)?.destroyed).toBe(false)
})

it('leaves a trusted proxy its connections, within the total', async () => {
  const proxy = await open(PROXY, 15)
  await open(ATTACKER, 30)
  expect(closed(proxy)).toBe(0)
  await open(PROXY, 5)
  expect(accepted.filter(({ destroyed }) => !destroyed)).toHaveLength(20)
  const [late] = await open(ATTACKER)
  await untilClosed([late as Socket], 1)
})

it('says so once a minute, with the source', async () => {
  await open(ATTACKER, 15)
  expect(lines).toMatchObject([
    { level: 'warn', msg: 'too many connections', listener: 'public', source: ATTACKER, mostOfOneSource: 12 },
  ])
  clock.forward(61)
  await open(ATTACKER)
  expect(lines).toHaveLength(2)
  expect(lines[1]).toMatchObject({ closed: 4 })
})
