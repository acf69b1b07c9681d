import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Schema } from '../../src/database/schema.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

type Verb = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE'
const VERBS: Verb[] = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']

const everyRow: Verb[] = ['SELECT', 'INSERT', 'UPDATE', 'DELETE']
const appendOnly: Verb[] = ['SELECT', 'INSERT']

/** The rights of mintmark_app, table by table. Nothing else, and never TRUNCATE. */
const MATRIX: Record<keyof Schema | 'mintmark_migration', Verb[]> = {
  installation: ['SELECT', 'INSERT', 'UPDATE'],
  signing_keys: ['SELECT', 'INSERT', 'UPDATE'],
  key_usage: ['SELECT', 'INSERT', 'UPDATE'],
  tiers: everyRow,
  models: everyRow,
  tenants: everyRow,
  tenant_tiers: everyRow,
  tenant_grants: everyRow,
  api_keys: everyRow,
  key_grants: everyRow,
  api_key_secrets: everyRow,
  token_revocations: everyRow,
  used_assertions: everyRow,
  secret_proofs: everyRow,
  replicas: everyRow,
  identity_providers: everyRow,
  key_credentials: everyRow,
  set_objects: everyRow,
  pending_secrets: everyRow,
  deleted_tenants: appendOnly,
  deleted_identities: appendOnly,
  change_feed: appendOnly,
  audit_events: appendOnly,
  admin_tokens: ['SELECT', 'INSERT', 'UPDATE'],
  usage_reporters: ['SELECT', 'INSERT', 'UPDATE'],
  usage_reporter_secrets: ['SELECT', 'INSERT', 'UPDATE'],
  usage_totals: ['SELECT', 'INSERT', 'UPDATE'],
  usage_records: ['SELECT', 'INSERT', 'DELETE'],
  usage_rollups: ['SELECT', 'INSERT', 'DELETE'],
  usage_rolled: ['SELECT', 'INSERT', 'DELETE'],
  usage_ledger: ['SELECT', 'UPDATE'],
  idempotency_keys: everyRow,
  audit_checkpoints: appendOnly,
  restores: ['SELECT', 'INSERT', 'UPDATE'],
  tombstones: ['SELECT', 'INSERT', 'UPDATE'],
  change_counter: ['SELECT', 'UPDATE'],
  maker_fill: [],
  sealed_since: ['SELECT'],
  mintmark_migration: ['SELECT'],
}

let database: TestDatabase
let application: pg.Client

beforeAll(async () => {
  database = await createTestDatabase()
  application = new pg.Client({ connectionString: database.applicationUrl })
  await application.connect()
})
afterAll(async () => {
  await application.end()
  await database.drop()
})

/** Executes and rolls back: the SQLSTATE, or 'done'. */
async function attempt(statement: string): Promise<string> {
  await application.query('BEGIN')
  try {
    await application.query(statement)
    return 'done'
  } catch (error) {
    return (error as pg.DatabaseError).code ?? 'no code'
  } finally {
    await application.query('ROLLBACK')
  }
}

const FORBIDDEN = '42501'

/** On no row, so that only the right decides. */
const statements: Record<Verb, (table: string, column: string, type: string) => string> = {
  SELECT: table => `SELECT count(*) FROM ${table}`,
  INSERT: (table, column, type) => `INSERT INTO ${table} (${column}) SELECT NULL::${type} WHERE false`,
  UPDATE: (table, column) => `UPDATE ${table} SET ${column} = NULL WHERE false`,
  DELETE: table => `DELETE FROM ${table} WHERE false`,
  TRUNCATE: table => `TRUNCATE ${table} CASCADE`,
}

describe('the application role', () => {
  it('has every table of the schema in this matrix', async () => {
    const tables = await database.asOwner<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'
       AND NOT (SELECT relispartition FROM pg_class WHERE oid = format('%I', table_name)::regclass)`,
    )
    expect(tables.map(table => table.name).sort()).toEqual(Object.keys(MATRIX).sort())
  })

  const cells = Object.entries(MATRIX).flatMap(([table, verbs]) =>
    VERBS.map(verb => [verbs.includes(verb) ? 'may' : 'may not', verb, table] as const),
  )
  it.each(cells)('%s %s %s', async (may, verb, table) => {
    const [{ name, type } = { name: '', type: '' }] = await database.asOwner<{ name: string; type: string }>(
      `SELECT column_name AS name, udt_name AS type FROM information_schema.columns
       WHERE table_name = $1 AND is_generated = 'NEVER' AND is_identity = 'NO' ORDER BY ordinal_position LIMIT 1`,
      [table],
    )
    expect(await attempt(statements[verb](table, name, type))).toBe(may === 'may' ? 'done' : FORBIDDEN)
  })

  it.each([
    ['make a table', 'CREATE TABLE mine (id int)'],
    ['make a table in a schema of its own', 'CREATE SCHEMA mine'],
    ['make a function', "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
    ['add a column', 'ALTER TABLE tenants ADD COLUMN mine int'],
    ['drop a table', 'DROP TABLE tenants'],
    ['drop a constraint', 'ALTER TABLE api_key_secrets DROP CONSTRAINT api_key_secrets_digest_key'],
    ['turn triggers off', 'ALTER TABLE audit_events DISABLE TRIGGER ALL'],
    ['make a role', 'CREATE ROLE mine'],
    ['become the owner', 'SET ROLE postgres'],
    [
      'replace the function that prunes',
      "CREATE OR REPLACE FUNCTION prune_change_feed(older_than interval) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    ],
    ['read server files', "SELECT pg_read_file('/etc/passwd')"],
    ['rewrite the trail through COPY', "COPY audit_events TO PROGRAM 'true'"],
  ])('may not %s', async (_, statement) => {
    expect(await attempt(statement)).toBe(FORBIDDEN)
  })
})

describe('prune_change_feed, for the application role', () => {
  it('deletes rows older than a day and keeps younger ones and the newest, however short the requested age', async () => {
    await database.asOwner(`INSERT INTO change_feed (number, changes, created_at) VALUES
      (1, '[]', now() - interval '3 days'), (2, '[]', now() - interval '25 hours'), (3, '[]', now() - interval '23 hours')`)
    await database.asOwner("UPDATE change_feed SET created_at = now() - interval '9 days' WHERE number = 0")
    const { rows } = await application.query("SELECT prune_change_feed(interval '0') AS pruned")
    expect(rows).toEqual([{ pruned: '3' }])
    expect(await numbers()).toEqual(['3'])
    await database.asOwner("UPDATE change_feed SET created_at = now() - interval '9 days'")
    await application.query("SELECT prune_change_feed(interval '-1 year')")
    expect(await numbers()).toEqual(['3'])
  })

  it('keeps longer when requested', async () => {
    await database.asOwner(
      "INSERT INTO change_feed (number, changes, created_at) VALUES (4, '[]', now() - interval '2 days'), (5, '[]', now())",
    )
    await application.query("SELECT prune_change_feed(interval '5 days')")
    expect(await numbers()).toEqual(['4', '5'])
  })
})

describe('every other role', () => {
  it('may not prune, nor create anything in the schema', async () => {
    const [rights] = await database.asOwner(`SELECT
      has_function_privilege('public', 'prune_change_feed(interval)', 'EXECUTE') AS prune,
      has_schema_privilege('public', 'public', 'CREATE') AS create`)
    expect(rights).toEqual({ prune: false, create: false })
  })
})

async function numbers(): Promise<string[]> {
  const rows = await database.asOwner<{ number: string }>('SELECT number FROM change_feed ORDER BY number')
  return rows.map(row => row.number)
}
