import pg from 'pg'
import { expect, it } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { createTestDatabase } from '../support/test-database.ts'
import { timed } from '../support/until.ts'

const TENANT = `WITH made AS (INSERT INTO tenants (id, name, tier, scopes, audiences)
  VALUES ('acme', 'acme', 'standard', '{inference}', '{vllm}')) INSERT INTO tenant_tiers VALUES ('acme', 'standard', 0)`
const KEYS = `INSERT INTO api_keys (id, tenant_id, name, scopes)
  SELECT 'key_' || lpad(n::text, 16, '0'), 'acme', 'x', '{inference}' FROM generate_series(1, 2) AS n`

it('a migration that waits for a table gives way, so that nobody waits behind it for more than a second, and ends once the table is free', async () => {
  const database = await createTestDatabase({ empty: true })
  await migrate(database.ownerUrl, { upTo: '0005_audit_chain' })
  await database.asOwner(TENANT)
  await database.asOwner(KEYS)
  const reader = new pg.Client({ connectionString: database.ownerUrl })
  await reader.connect()
  await reader.query('BEGIN')
  await reader.query('SELECT FROM api_key_secrets')
  const migrating = migrate(database.ownerUrl)
  const waits: number[] = []
  // Until the migration has delayed one, and for a while afterwards.
  for (let n = 0, last = 2_000; n < last; n++) {
    const statement = `INSERT INTO api_key_secrets (id, key_id, digest, pepper_id)
      VALUES ('sec_' || lpad('${n}', 16, '0'), 'key_0000000000000001', sha256('${n}'), 'p1')`
    const { ms } = await timed(() => database.asOwner(statement))
    waits.push(ms)
    if (ms > 100) last = Math.min(last, n + 40)
  }
  await reader.query('COMMIT')
  await reader.end()
  const applied = await migrating
  await database.drop()
  expect(applied).toContain('0006_imported_clients')
  expect(Math.max(...waits)).toBeGreaterThan(100)
  expect(Math.max(...waits)).toBeLessThan(1_000)
})
