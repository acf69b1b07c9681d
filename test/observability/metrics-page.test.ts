import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/system/clock.ts'
import { type Fault, TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { BUSY, timed, until } from '../support/until.ts'
import { halfSent } from './half-sent.ts'
import { scrape } from './metrics-text.ts'

let database: TestDatabase
let proxy: TcpProxy & { url: string }
let mintmark: TestService

beforeAll(async () => {
  database = await createTestDatabase()
  proxy = await TcpProxy.before(database.applicationUrl)
  mintmark = await startTestService({ database, env: { DATABASE_URL: proxy.url } })
})
afterEach(() => proxy.become('none'))
afterAll(async () => {
  await mintmark.stop()
  await proxy.close()
  await database.drop()
})

/** The same installation, not through the proxy. */
const directly = () => ({ ...mintmark.environment, DATABASE_URL: database.applicationUrl })

const read = async (series: string, service = mintmark) =>
  (await scrape(service.service.urls.ops)).series.get(series)
const becomes = (series: string, holds: (value: number) => boolean, service = mintmark) =>
  until(
    series,
    () => read(series, service),
    value => value !== undefined && holds(value),
  )

describe('GET /metrics', () => {
  it('is the text format of Prometheus', async () => {
    const { status, headers } = await request(`${mintmark.service.urls.ops}/metrics`)
    expect([status, headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
    expect((await request(`${mintmark.service.urls.ops}/metrics`, { method: 'POST' })).status).toBe(405)
  })

  it('is on no other listener', async () => {
    const { urls } = mintmark.service
    for (const url of [urls.public, urls.admin]) expect((await request(`${url}/metrics`)).status).toBe(404)
  })

  it('exists before the process is ready, and reports it; unknown values are left out', async () => {
    await proxy.become('refuse')
    const starting = await startTestService({
      database,
      env: mintmark.environment,
      awaitReady: false,
    })
    const { series } = await scrape(starting.service.urls.ops)
    expect(series.get('mintmark_ready')).toBe(0)
    expect(series.get('mintmark_directory_keys')).toBe(0)
    const known = [...series.keys()].filter(
      name =>
        /staleness_seconds|clock_offset|signing_key|untrusted_rows|feed_position/.test(name) &&
        !name.includes('_total'),
    )
    expect(known).toEqual([])
    await starting.token({ grant_type: 'client_credentials', client_secret: 'early' })
    expect(await read('mintmark_exchanges_total{outcome="temporarily_unavailable"}', starting)).toBe(1)
    await proxy.become('none')
    await becomes('mintmark_ready', value => value === 1, starting)
    await starting.stop()
  })

  it.each<Fault>(['cut', 'refuse', 'hang', 'freeze'])(
    'is as fast as usual while the database connection does this: %s',
    async fault => {
      await becomes('mintmark_feed_listening', value => value === 1)
      await proxy.become(fault)
      await becomes('mintmark_directory_staleness_seconds', value => value > 1.5)
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => timed(() => scrape(mintmark.service.urls.ops))),
      )
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(500 * BUSY)
      expect(answers[0]?.result.series.get('mintmark_ready')).toBe(1)
      await becomes('mintmark_feed_listening', value => value === 0)
      await proxy.become('none')
      await becomes('mintmark_directory_staleness_seconds', value => value < 1)
    },
  )

  it('sends no query to Postgres', async () => {
    // A scrape that sends a query would wait 800 ms for its timeout.
    await proxy.become('hang')
    await until('all queries have timed out', async () => (await inUse()) === 0)
    const waiting = timed(async () => {
      for (let count = 0; count < 50; count++) {
        const { series } = await scrape(mintmark.service.urls.ops)
        expect(series.get('mintmark_database_waiting_queries{pool="main"}')).toBe(0)
      }
    })
    // Fifty that send queries would take 40 s.
    expect((await waiting).ms).toBeLessThan(15_000)
  })

  const inUse = () => read('mintmark_database_connections{pool="main",state="in_use"}')

  it('reports that the process is draining', async () => {
    const leaving = await startTestService({ database, env: directly() })
    const { urls } = leaving.service
    // A request in flight keeps the process alive.
    const socket = await halfSent(urls.public)
    const stopped = leaving.stop()
    const { series } = await scrape(urls.ops)
    expect([series.get('mintmark_ready'), series.get('mintmark_draining')]).toEqual([0, 1])
    socket.destroy()
    await stopped
  })
})

describe('a gauge follows its value', () => {
  it('queries that wait for a connection', async () => {
    await proxy.become('hang')
    const asked = Array.from({ length: 30 }, () => mintmark.admin('GET', '/tenants'))
    await becomes('mintmark_database_waiting_queries{pool="main"}', value => value > 0)
    const busy = await read('mintmark_database_connections{pool="main",state="in_use"}')
    expect(busy).toBeLessThanOrEqual((await read('mintmark_database_max_connections{pool="main"}')) ?? 0)
    await Promise.all(asked)
    await proxy.become('none')
    await becomes('mintmark_database_waiting_queries{pool="main"}', value => value === 0)
  })

  it('changes that were seen and are not applied yet', async () => {
    const writer = await startTestService({ database, env: directly() })
    await becomes('mintmark_feed_lag_changes', value => value === 0)
    const before = (await read('mintmark_feed_position')) ?? 0
    const held = proxy.holdAnswerTo('ORDER BY number LIMIT')
    await writer.tenantWithKey()
    await held
    await becomes('mintmark_feed_lag_changes', value => value > 0)
    proxy.release()
    await becomes('mintmark_feed_lag_changes', value => value === 0)
    await becomes('mintmark_feed_position', value => value >= before + 2)
    await writer.stop()
  })

  it('more keys than the directory holds, and lookups of the others', async () => {
    const small = await startTestService({ env: { MINTMARK_DIRECTORY_MAX_KEYS: '1' } })
    const keys = [await small.tenantWithKey(), await small.tenantWithKey()]
    await becomes('mintmark_directory_overflowed', value => value === 1, small)
    for (const { secret } of keys)
      expect((await small.token({ grant_type: 'client_credentials', client_secret: secret })).status).toBe(
        200,
      )
    const { series } = await scrape(small.service.urls.ops)
    expect(series.get('mintmark_directory_keys')).toBe(1)
    expect(series.get('mintmark_fallback_lookups_total{outcome="found"}')).toBe(1)
    expect(series.get('mintmark_fallback_queries_total')).toBe(1)
    await small.stop()
  })

  it('a host clock that is an hour ahead', async () => {
    const clock = { ...systemClock, wallMs: () => systemClock.wallMs() + 3_600_000 }
    const ahead = await startTestService({ overrides: { clock } })
    const offset = (await read('mintmark_clock_offset_seconds', ahead)) ?? 0
    expect(Math.abs(offset - 3600)).toBeLessThan(1)
    await ahead.stop()
  })

  it('a reloaded directory', async () => {
    const before = (await read('mintmark_directory_reloads_total')) ?? 0
    // As after a failover: the newest row has another id.
    await database.asOwner('UPDATE change_feed SET id = gen_random_uuid()')
    await becomes('mintmark_directory_reloads_total', value => value === before + 1)
  })
})
