import { readdir, readFile } from 'node:fs/promises'
import { Kysely, PostgresAdapter, PostgresDialect, sql } from 'kysely'
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration'
import pg from 'pg'
import type { Database } from './database.ts'

/** db/ lies beside src and beside dist. */
const DB_FOLDER = new URL('../../db/', import.meta.url)
const MIGRATION_TABLE = 'mintmark_migration'

/** The plain SQL files of db/migrations, each one migration, in the order of their names. */
const provider: MigrationProvider = {
  getMigrations: async () => {
    const names = await migrationNames()
    const entries = names.map(async (name): Promise<[string, Migration]> => {
      const text = await readFile(new URL(`migrations/${name}.sql`, DB_FOLDER), 'utf8')
      return [name, { up: async db => void (await sql.raw(text).execute(db)) }]
    })
    return Object.fromEntries(await Promise.all(entries))
  },
}

async function migrationNames(): Promise<string[]> {
  const files = await readdir(new URL('migrations/', DB_FOLDER))
  return files
    .filter(file => file.endsWith('.sql'))
    .map(file => file.slice(0, -'.sql'.length))
    .sort()
}

/** Without Kysely's own lock: it is of the session, and a transaction-mode pooler gives that to somebody else. */
class MigrationDialect extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return Object.assign(new PostgresAdapter(), {
      acquireMigrationLock: async () => {},
      releaseMigrationLock: async () => {},
    })
  }
}

/**
 * Brings the schema up to date and applies db/roles.sql, all in one transaction under a transaction-level advisory
 * lock: safe when several processes start at once, and through a pooler. `url` must be of the owner role.
 * Returns the names of the migrations that were applied now.
 */
export async function migrate(url: string): Promise<string[]> {
  const pool = new pg.Pool({
    connectionString: url,
    max: 1,
    connectionTimeoutMillis: 5000,
    application_name: 'mintmark-migrate',
  })
  // A lost connection fails the statement under way, and must not end the process besides.
  pool.on('error', () => {}).on('connect', client => void client.on('error', () => {}))
  const db = new Kysely<unknown>({ dialect: new MigrationDialect({ pool }) })
  try {
    return await db.transaction().execute(async trx => {
      await sql`SELECT pg_advisory_xact_lock(hashtext(${MIGRATION_TABLE}))`.execute(trx)
      const applied = await applyMigrations(trx)
      await sql.raw(await readFile(new URL('roles.sql', DB_FOLDER), 'utf8')).execute(trx)
      return applied
    })
  } finally {
    await db.destroy()
  }
}

async function applyMigrations(db: Kysely<unknown>): Promise<string[]> {
  const migrator = new Migrator({
    db,
    provider,
    migrationTableName: MIGRATION_TABLE,
    migrationLockTableName: `${MIGRATION_TABLE}_lock`,
  })
  const { error, results = [] } = await migrator.migrateToLatest()
  if (error) throw error
  return results.map(result => result.migrationName)
}

/** Migrations that this version needs and the database lacks; a newer schema than ours is fine (expand, then contract). */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const needed = await migrationNames()
  const applied = await database.read(async db => {
    const { rows } = await sql<{
      exists: boolean
    }>`SELECT to_regclass(${MIGRATION_TABLE}) IS NOT NULL AS exists`.execute(db)
    if (!rows[0]?.exists) return []
    const done = await sql<{ name: string }>`SELECT name FROM ${sql.table(MIGRATION_TABLE)}`.execute(db)
    return done.rows.map(row => row.name)
  })
  return needed.filter(name => !applied.includes(name))
}

/** True when the role that `database` connects as owns the tables: fine to begin with, refused in production. */
export async function connectsAsOwner(database: Database): Promise<boolean> {
  return database.read(async db => {
    const { rows } = await sql<{ owner: boolean }>`
      SELECT pg_has_role(current_user, relowner, 'USAGE') AS owner FROM pg_class WHERE oid = 'installation'::regclass`.execute(
      db,
    )
    return rows[0]?.owner ?? false
  })
}
