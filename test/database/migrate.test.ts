import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { bundled } from '../support/bundled-source.ts'
import { lacksPgBouncer, type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { repeatedWhileUnavailable } from '../support/repeated-while-unavailable.ts'
import { startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const databases: TestDatabase[] = []
afterEach(async () => {
  for (const database of databases.splice(0)) await database.drop()
})

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase({ empty: true })
  databases.push(database)
  return database
}

const FIRST = '0001_initial'
const tablesOf = async (database: TestDatabase) => {
  const tables =
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
  return (await database.asOwner<{ name: string }>(tables)).map(table => table.name)
}

describe('migrate', () => {
  it('brings an empty database up to date, and a second run applies nothing', async () => {
    const database = await emptyDatabase()
    expect(await migrate(database.ownerUrl)).toContain(FIRST)
    const tables = await tablesOf(database)
    expect(tables).toContain('api_key_secrets')
    expect(await migrate(database.ownerUrl)).toEqual([])
    expect(await tablesOf(database)).toEqual(tables)
  })

  it('lets three processes migrate one empty database at once: all succeed, one applies', async () => {
    const database = await emptyDatabase()
    const processes = Array.from({ length: 3 }, () =>
      startProcess({ MIGRATE_DATABASE_URL: database.ownerUrl }, bundled('cli'), 'migrate'),
    )
    const ends = await Promise.all(processes.map(process => process.exited))
    expect(
      ends.map(({ code }) => code),
      processes.map(process => process.output()).join('\n'),
    ).toEqual([0, 0, 0])
    const said = processes.map(process => process.output())
    expect(said.filter(text => text.includes(`Applied ${FIRST}`))).toHaveLength(1)
    expect(said.filter(text => text.includes('The schema is up to date.'))).toHaveLength(2)
  }, 60_000)

  it('leaves nothing of a migration that fails halfway', async () => {
    const database = await emptyDatabase()
    await database.asOwner('CREATE TABLE audit_events (mine int)')
    await expect(migrate(database.ownerUrl)).rejects.toThrow(/audit_events/)
    expect(await tablesOf(database)).not.toContain('tenants')
    await database.asOwner('DROP TABLE audit_events')
    expect(await migrate(database.ownerUrl)).toContain(FIRST)
  })
})

describe('on a database without the schema', () => {
  let mintmark: TestService | undefined
  afterEach(async () => {
    await mintmark?.stop()
    mintmark = undefined
  })

  const states = {
    'an empty schema': async () => {},
    'a schema without the newest migration': async (database: TestDatabase) => {
      await migrate(database.ownerUrl)
      await database.asOwner('ALTER TABLE mintmark_migration RENAME TO kept')
      await database.asOwner('CREATE TABLE mintmark_migration (LIKE kept INCLUDING ALL)')
      await database.asOwner('GRANT SELECT ON mintmark_migration TO mintmark_app')
    },
  }
  const cures = {
    'an empty schema': (database: TestDatabase) => migrate(database.ownerUrl),
    'a schema without the newest migration': (database: TestDatabase) =>
      database.asOwner('INSERT INTO mintmark_migration SELECT * FROM kept'),
  }

  it.each(Object.keys(states) as (keyof typeof states)[])(
    'with %s the service is alive and unready, names the command, and is ready by itself after the migration',
    async state => {
      const database = await emptyDatabase()
      await states[state](database)
      mintmark = await startTestService({ database, awaitReady: false })
      const { urls } = mintmark.service
      const unready = await until(
        'it says why',
        () => request(`${urls.ops}/readyz`),
        ({ body }) => /migrat/.test(body.reason),
      )
      expect(unready.status).toBe(503)
      expect(unready.body.reason).toMatch(/0001_initial.*mintmark migrate.*MIGRATE_DATABASE_URL/)
      expect((await request(`${urls.ops}/livez`)).status).toBe(200)
      for (const path of ['/.well-known/jwks.json', '/oauth/token']) {
        const answer = await request(`${urls.public}${path}`, {
          method: path === '/oauth/token' ? 'POST' : 'GET',
        })
        expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
      }
      await cures[state](database)
      await until(
        'ready',
        () => request(`${urls.ops}/readyz`),
        ({ status }) => status === 200,
      )
      const { secret } = await mintmark.tenantWithKey()
      expect((await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })).status).toBe(
        200,
      )
    },
  )
})

describe.skipIf(lacksPgBouncer())('through PgBouncer in transaction mode', () => {
  let pooled: PgBouncer | undefined
  let database: TestDatabase
  beforeAll(async () => {
    database = await createTestDatabase({ empty: true })
    pooled = await startPgBouncer(database.ownerUrl, database.applicationUrl)
  })
  afterAll(async () => {
    await pooled?.stop()
    await database.drop()
  })

  it('three migrate at once, all succeed, and one applies', async () => {
    const url = (pooled as PgBouncer).through(database.ownerUrl)
    const applied = (await Promise.all([migrate(url), migrate(url), migrate(url)])).flat()
    expect(applied.filter(name => name === FIRST)).toEqual([FIRST])
  })

  it('the service starts, writes, exchanges 200 times with 20 at once, and never uses the session of another', async () => {
    const env = {
      DATABASE_URL: (pooled as PgBouncer).through(database.applicationUrl),
      MINTMARK_DATABASE_MAX_CONNECTIONS: '20',
    }
    const mintmark = await startTestService({ database, env })
    try {
      const { secret } = await mintmark.tenantWithKey()
      const exchange = () => mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
      const worker = async () => {
        const statuses: number[] = []
        for (let count = 0; count < 10; count++) statuses.push((await exchange()).status)
        return statuses
      }
      const statuses = (await Promise.all(Array.from({ length: 20 }, worker))).flat()
      expect(statuses.filter(status => status !== 200)).toEqual([])
      const names = Array.from({ length: 20 }, (_, index) => `pooled-${index}`)
      // 409: made by an attempt whose answer was 503.
      const create = (id: string) =>
        repeatedWhileUnavailable(() => mintmark.admin('POST', '/tenants', { id }))
      const made = await Promise.all(names.map(create))
      expect(made.filter(({ status }) => status !== 201 && status !== 409)).toEqual([])
      const { body } = await mintmark.admin('GET', '/tenants?limit=100')
      expect(body.data.map(({ id }: { id: string }) => id)).toEqual(expect.arrayContaining(names))
    } finally {
      await mintmark.stop()
    }
  })
})
