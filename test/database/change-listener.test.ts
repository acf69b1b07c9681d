import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { appendChanges } from '../../src/database/change-feed.ts'
import { ChangeListener } from '../../src/database/change-listener.ts'
import { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { PATIENT } from '../support/patient.ts'
import { lacksPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { NO_SERVER } from '../support/replicas.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { until } from '../support/until.ts'

let testDatabase: TestDatabase
let database: Database
let proxy: TcpProxy & { url: string }
let listener: ChangeListener
let logs: { level: string; msg: string; err?: { message: string } }[]
let woken: number
let attempts: number
/** What the listener would have slept between two probes, and before another attempt. */
let pauses: number[]

const PROBE_INTERVAL_MS = 5_000
const PROBE_TIMEOUT_MS = 2_000

beforeAll(async () => {
  testDatabase = await createTestDatabase()
  database = open(testDatabase.applicationUrl)
  proxy = await TcpProxy.before(testDatabase.applicationUrl)
})
afterEach(async () => {
  await listener.stop()
  await proxy.become('none')
})
afterAll(async () => {
  await proxy.close()
  await database.close()
  await testDatabase.drop()
})

const open = (url: string) =>
  new Database({ url, maxConnections: 2, logger: createLogger('silent'), timeouts: PATIENT })

function listen(url: string, prober = database): void {
  logs = []
  woken = 0
  attempts = 0
  pauses = []
  const clock = {
    ...systemClock,
    // Pauses are cut short, and kept; the timeout of a probe is as long as ever.
    sleep: (ms: number, signal?: AbortSignal) => {
      if (ms === PROBE_TIMEOUT_MS) return systemClock.sleep(ms, signal)
      pauses.push(ms)
      if (ms !== PROBE_INTERVAL_MS) attempts++
      return systemClock.sleep(10, signal)
    },
  }
  const logger = createLogger('info', { write: line => void logs.push(JSON.parse(line)) })
  const wake = () => {
    woken++
  }
  listener = new ChangeListener({
    address: { url: () => url },
    database: prober,
    clock,
    random: systemRandom,
    logger,
    wake,
  })
  listener.start()
}

const listening = (deadlineMs?: number) =>
  until('it listens', () => listener.listening, Boolean, deadlineMs).then(() => undefined)
const append = () => database.write(trx => appendChanges(trx, [{ kind: 'tenant', id: 'acme' }]))
const warnings = () => logs.filter(({ level }) => level === 'warn')
const backends = async () => {
  const rows = await testDatabase.asOwner<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = $1 AND application_name = 'mintmark-listener'",
    [testDatabase.name],
  )
  return rows[0]?.count
}

describe('on a direct connection', () => {
  it('it wakes at its start, and at each change', async () => {
    listen(testDatabase.applicationUrl)
    await listening()
    expect(woken).toBe(1)
    for (let count = 2; count < 12; count++) {
      await append()
      await until('it is woken', () => woken === count)
    }
    expect(warnings()).toEqual([])
  })

  it.each(['cut', 'refuse', 'hang', 'freeze'] as const)(
    'it notices, warns once, and is back, when the connection does this: %s',
    async fault => {
      listen(proxy.url)
      await listening()
      await proxy.become(fault)
      await until('it is noticed', () => !listener.listening)
      await until('it has warned', () => warnings().length)
      await append()
      woken = 0
      await proxy.become('none')
      await listening()
      expect(woken, 'for what it may have missed').toBe(1)
      expect(warnings()).toHaveLength(1)
      // With the timeouts of 2 s a fault is noticed within 10 s, and its end within 6 s.
      expect(Math.max(...pauses)).toBe(PROBE_INTERVAL_MS)
      expect(Math.max(...pauses.filter(ms => ms !== PROBE_INTERVAL_MS))).toBeLessThanOrEqual(3_750)
      expect(logs.map(({ msg }) => msg)).toContain('LISTEN delivers notifications again')
      await until('no connection is left behind', backends, count => count === 1)
      expect(proxy.connections).toBe(1)
    },
  )

  it('it stops at once, also while nothing answers', async () => {
    listen(proxy.url)
    await listening()
    await proxy.become('freeze')
    await listener.stop()
    expect(listener.listening).toBe(false)
  })
})

describe('where LISTEN cannot work', () => {
  it('it warns once, however often it tries: nobody there', async () => {
    listen(NO_SERVER)
    await until('it has tried some times', () => attempts > 4)
    expect(warnings()).toHaveLength(1)
    expect(listener.listening).toBe(false)
  })

  it.skipIf(lacksPgBouncer())(
    'it warns once, and says what to set: PgBouncer in transaction mode, for the probes too',
    async () => {
      const pooler = await startPgBouncer(testDatabase.ownerUrl, testDatabase.applicationUrl)
      const pooled = open(pooler.through(testDatabase.applicationUrl))
      try {
        listen(pooler.through(testDatabase.applicationUrl), pooled)
        await until('it has tried three times', () => attempts >= 3)
        expect(warnings()).toHaveLength(1)
        expect(warnings()[0]?.err?.message).toContain('set DATABASE_URL_DIRECT')
        expect(listener.listening).toBe(false)
        await listener.stop()
        listen(testDatabase.applicationUrl, pooled)
        await listening()
        await append()
        await until('the direct connection receives changes', () => woken === 2)
      } finally {
        await listener.stop()
        await pooled.close()
        await pooler.stop()
      }
    },
  )
})
