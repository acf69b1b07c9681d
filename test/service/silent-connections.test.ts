import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { scrape } from '../observability/metrics-text.ts'
import { type ServiceProcess, type ServiceUrls, startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const AT_A_TIME = 100
/** As from other machines. */
const ATTACKERS = ['127.0.0.2', '127.0.0.3', '127.0.0.4']

let database: TestDatabase
let process: ServiceProcess
let urls: ServiceUrls
const sockets: Socket[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  process = startProcess({ ...testEnvironment(), DATABASE_URL: database.applicationUrl })
  urls = await process.ready(60_000)
})
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  await process.kill()
  await database.drop()
})

async function openSilent(url: string, count: number): Promise<void> {
  const { hostname: host, port } = new URL(url)
  const opened = Array.from({ length: count }, async (_, n) => {
    const localAddress = ATTACKERS[n % ATTACKERS.length] ?? ''
    const socket = connect({ host, port: Number(port), localAddress }).on('error', () => {})
    sockets.push(socket.resume())
    await new Promise(resolve => socket.once('connect', resolve).once('close', resolve))
  })
  await Promise.all(opened)
}

/** More connections than each listener accepts, to a real process. */
it.each([
  ['public', 10_000, '/.well-known/jwks.json', 200],
  ['gateway', 5_000, '/check', 401],
  ['ops', 1_000, '/livez', 200],
] as const)(
  'honest clients of the %s listener go on during %i silent connections',
  async (listener, silent, path, status) => {
    const closed = async () => (await scrape(urls.ops)).series.get(seriesOf(listener)) ?? 0
    const before = await closed()
    for (let opened = 0; opened < silent; opened += AT_A_TIME) {
      await openSilent(urls[listener], AT_A_TIME)
      if (opened % 500 === 0) expect((await request(`${urls[listener]}${path}`)).status).toBe(status)
      await turn()
    }
    expect((await request(`${urls[listener]}${path}`)).status).toBe(status)
    if (listener === 'ops') {
      // The kernel keeps some hundred until the process accepts them, and requests on a kept connection may come first.
      await until('some are closed', closed, now => now > before)
      expect(process.logged('too many connections')).toContainEqual(expect.objectContaining({ listener }))
    }
  },
  120_000,
)

const seriesOf = (listener: string) => `mintmark_connections_closed_total{listener="${listener}"}`
