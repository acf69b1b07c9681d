import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { scrape } from '../observability/metrics-text.ts'
import { type ServiceProcess, type ServiceUrls, startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, testEnvironment } from '../support/test-service.ts'

/** More than any listener accepts, on a real process. */
const SILENT = 10_000
const AT_A_TIME = 100
/** As from other machines. */
const ATTACKERS = ['127.0.0.2', '127.0.0.3', '127.0.0.4']

let database: TestDatabase
let process: ServiceProcess
let urls: ServiceUrls
const silent: Socket[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  process = startProcess({ ...testEnvironment(), DATABASE_URL: database.applicationUrl })
  urls = await process.ready(60_000)
})
afterAll(async () => {
  for (const socket of silent) socket.destroy()
  await process.kill()
  await database.drop()
})

async function openSilent(url: string, count: number): Promise<void> {
  const { hostname: host, port } = new URL(url)
  const opened = Array.from({ length: count }, async (_, n) => {
    const localAddress = ATTACKERS[n % ATTACKERS.length] ?? ''
    const socket = connect({ host, port: Number(port), localAddress }).on('error', () => {})
    silent.push(socket.resume())
    await new Promise(resolve => socket.once('connect', resolve).once('close', resolve))
  })
  await Promise.all(opened)
}

it.each([
  ['public', '/.well-known/jwks.json'],
  ['ops', '/livez'],
] as const)(
  'honest clients of the %s listener go on',
  async (listener, path) => {
    const before = (await scrape(urls.ops)).series.get(seriesOf(listener)) ?? 0
    for (let opened = 0; opened < SILENT; opened += AT_A_TIME) {
      await openSilent(urls[listener], AT_A_TIME)
      if (opened % 1_000 === 0) expect((await request(`${urls[listener]}${path}`)).status).toBe(200)
      await turn()
    }
    expect((await request(`${urls[listener]}${path}`)).status).toBe(200)
    const after = (await scrape(urls.ops)).series.get(seriesOf(listener)) ?? 0
    if (listener === 'ops') {
      expect(after - before).toBeGreaterThan(0)
      expect(process.logged('too many connections')).toContainEqual(expect.objectContaining({ listener }))
    }
  },
  120_000,
)

const seriesOf = (listener: string) => `mintmark_connections_closed_total{listener="${listener}"}`
