import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { startTestService } from '../support/test-service.ts'

const databases: TestDatabase[] = []
afterEach(async () => {
  for (const database of databases.splice(0)) await database.drop()
})

async function databaseOf(options: { empty?: boolean }): Promise<TestDatabase> {
  const database = await createTestDatabase(options)
  databases.push(database)
  return database
}

const TENANT = `WITH made AS (INSERT INTO tenants (id, name, tier, scopes, audiences)
  VALUES ('acme', 'acme', 'standard', '{inference}', '{vllm}')) INSERT INTO tenant_tiers VALUES ('acme', 'standard', 0)`
const KEYS = `INSERT INTO api_keys (id, tenant_id, name, scopes)
  SELECT 'key_' || lpad(n::text, 16, '0'), 'acme', 'x', '{inference}' FROM generate_series(1, 2) AS n`
const usable = async (database: TestDatabase) => {
  const [row] = await database.asOwner<{ usable: boolean; definition: string }>(
    `SELECT indisvalid AS usable, pg_get_indexdef(indexrelid) AS definition FROM pg_index
     WHERE indexrelid = to_regclass('api_keys_span_expiry')`,
  )
  return row
}

describe('The indexes of large tables', () => {
  it('are created again when a crash left one invalid; until then the service reports the missing ones', async () => {
    const database = await databaseOf({})
    const whole = await usable(database)
    await database.asOwner('DROP INDEX api_keys_span_expiry')
    await database.asOwner(TENANT)
    await database.asOwner(KEYS)
    const broken = 'CREATE UNIQUE INDEX CONCURRENTLY api_keys_span_expiry ON api_keys (tenant_id)'
    await expect(database.asOwner(broken)).rejects.toThrow(/unique/)
    expect((await usable(database))?.usable).toBe(false)
    const mintmark = await startTestService({ database })
    await mintmark.stop()
    expect(
      mintmark.logs.filter(line => line.includes('lacks the indexes api_keys_span_expiry')),
    ).toHaveLength(1)
    await migrate(database.ownerUrl)
    expect(await usable(database)).toEqual(whole)
  })

  it('are created during the open transaction of another writer', async () => {
    const database = await databaseOf({})
    await database.asOwner(TENANT)
    await database.asOwner('DROP INDEX audit_events_span_at')
    const writer = new pg.Client({ connectionString: database.ownerUrl })
    await writer.connect()
    await writer.query('BEGIN')
    await writer.query(KEYS)
    await migrate(database.ownerUrl)
    await writer.query('COMMIT')
    await writer.end()
    const made = "SELECT FROM pg_index WHERE indexrelid = to_regclass('audit_events_span_at') AND indisvalid"
    expect(await database.asOwner(made)).toHaveLength(1)
  })
})
