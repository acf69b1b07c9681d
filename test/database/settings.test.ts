import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createLogger } from '../../src/system/logger.ts'
import { ALL_AT_ONCE, HOSTILE_SETTINGS, NOT_TRIED, REFUSED_SETTINGS } from '../settings/hostile-settings.ts'
import { transcript } from '../settings/transcript.ts'
import { PATIENT } from '../support/patient.ts'
import { lacksPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** `npm run settings` tries each setting by itself, with all its values. */
let plain: string[]
beforeAll(async () => {
  const mintmark = await startTestService()
  plain = await transcript(mintmark)
  await mintmark.stop()
})

const give = async (database: TestDatabase, settings: Readonly<Record<string, string>>) => {
  for (const [name, value] of Object.entries(settings)) {
    await database.asOwner(`ALTER DATABASE ${database.name} SET ${name} = '${value}'`)
  }
}
/** Settings are those of new sessions. */
const endSessions = (database: TestDatabase) =>
  database.asOwner(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'mintmark%'",
  )

describe('A database where every setting that changes a meaning has another value', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createTestDatabase({ empty: true })
    await give(database, ALL_AT_ONCE)
  })
  afterAll(() => database.drop())

  it('is migrated and served, and everything reads as on a plain one', async () => {
    expect(Object.keys(ALL_AT_ONCE).length).toBeGreaterThan(40)
    expect(await migrate(database.ownerUrl)).toContain('0001_initial')
    expect(await migrate(database.ownerUrl)).toEqual([])
    const mintmark = await startTestService({ database })
    expect(await transcript(mintmark)).toEqual(plain)
    await mintmark.stop()
  })

  it.skipIf(lacksPgBouncer())('also while it runs, through PgBouncer in transaction mode', async () => {
    const running = await createTestDatabase()
    const pooler = await startPgBouncer(running.ownerUrl, running.applicationUrl)
    const env = { DATABASE_URL: pooler.through(running.applicationUrl) }
    const mintmark = await startTestService({ database: running, env })
    try {
      const { idle_session_timeout: _, ...others } = ALL_AT_ONCE
      await give(running, others)
      await running.asOwner(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = '${new URL(running.applicationUrl).username}'`,
      )
      await until(
        'it answers on new connections',
        () => mintmark.admin('GET', '/tiers/standard'),
        ({ status }) => status === 200,
      )
      expect(await transcript(mintmark)).toEqual(plain)
    } finally {
      await mintmark.stop()
      await pooler.stop()
      await running.drop()
    }
  })
})

it('each setting that a role or a database may have is tried, refused by name, or has a reason why not', async () => {
  const database = await createTestDatabase()
  const rows = await database.asOwner<{ name: string }>(
    "SELECT name FROM pg_settings WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend') ORDER BY name",
  )
  await database.drop()
  const tried = [...HOSTILE_SETTINGS, ...REFUSED_SETTINGS].map(({ name }) => name)
  const isKnown = (name: string) =>
    tried.includes(name) || NOT_TRIED.some(({ settings }) => settings.test(name))
  expect(rows.length).toBeGreaterThan(150)
  expect(rows.map(({ name }) => name).filter(name => !isKnown(name))).toEqual([])
})

describe('A setting of a role or database with which Postgres opens no session, or runs no triggers and foreign keys', () => {
  it.each(REFUSED_SETTINGS)(
    'is refused by name with the cure, at the start and while it runs, and exchanges go on: $name',
    async ({ name, value, cure }) => {
      const database = await createTestDatabase()
      const mintmark = await startTestService({ database })
      const { secret } = await mintmark.tenantWithKey()
      const role = `ROLE ${new URL(database.applicationUrl).username} IN DATABASE ${database.name}`
      await database.asOwner(`ALTER ${role} SET ${name} = '${value}'`)
      await endSessions(database)
      const refused = await until(
        'a change is refused',
        () => mintmark.admin('POST', '/tenants', { id: 'late' }),
        ({ status }) => status !== 201,
      )
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, expect.any(String)])
      const warned = await until(
        'readyz says it',
        () => request(`${mintmark.service.urls.ops}/readyz`),
        ({ body }) => cure.test(body.warning ?? ''),
      )
      expect(warned.status).toBe(200)
      const known = { grant_type: 'client_credentials', client_secret: secret }
      expect((await mintmark.token(known)).status).toBe(200)
      await mintmark.service.stop()

      const late = await startTestService({ database, env: mintmark.environment, awaitReady: false })
      await until(
        'not ready for this reason',
        () => request(`${late.service.urls.ops}/readyz`),
        ({ status, body }) => status === 503 && cure.test(body.reason),
      )
      await database.asOwner(`ALTER ${role} RESET ${name}`)
      await endSessions(database)
      await late.service.ready
      await late.service.stop()
      await database.drop()
    },
  )
})

describe('What Postgres rolled back for the sake of another transaction', () => {
  it('is repeated: of two transactions in a deadlock both commit', async () => {
    const home = await createTestDatabase()
    // Deadlocks are found before the lock timeout.
    await give(home, { deadlock_timeout: '1ms', default_transaction_isolation: 'serializable' })
    const logger = createLogger('silent')
    const database = new Database({ url: home.applicationUrl, maxConnections: 2, logger, timeouts: PATIENT })
    let tries = 0
    let arrived = () => {}
    const both = new Promise<void>(resolve => {
      arrived = resolve
    })
    let waiting = 0
    const change = (first: string, second: string) =>
      database.write(async trx => {
        tries++
        const touch = (name: string) =>
          trx
            .updateTable('tiers')
            .set(eb => ({ priority: eb('priority', '+', 1) }))
            .where('name', '=', name)
            .execute()
        await touch(first)
        if (++waiting === 2) arrived()
        await both
        await touch(second)
      })
    await Promise.all([change('premium', 'batch'), change('batch', 'premium')])
    // One of the two is rolled back; on a slow machine, whose deadlocks take longer to be found, perhaps more than once.
    expect(tries).toBeGreaterThan(2)
    const rows = await home.asOwner(
      "SELECT name, priority FROM tiers WHERE name IN ('premium', 'batch') ORDER BY 1",
    )
    expect(rows).toEqual([
      { name: 'batch', priority: 12 },
      { name: 'premium', priority: -8 },
    ])
    await database.close()
    await home.drop()
  })
})
