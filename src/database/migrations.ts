import { readdir, readFile } from 'node:fs/promises'
import { type Kysely, sql } from 'kysely'
import type { Database } from './database.ts'
import { DB_FOLDER } from './db-folder.ts'

/** Which migrations were applied, and when. */
const TABLE = 'mintmark_migration'

/** The SQL files of db/migrations in the order of their names, each one migration. */
export async function migrationNames(): Promise<string[]> {
  const files = await readdir(new URL('migrations/', DB_FOLDER))
  return files
    .filter(file => file.endsWith('.sql'))
    .map(file => file.slice(0, -'.sql'.length))
    .sort()
}

/** Also of a newer version. Empty while there is no schema. */
export async function appliedMigrations(db: Pick<Kysely<never>, 'getExecutor'>): Promise<string[]> {
  const { rows } = await sql<{ exists: boolean }>`SELECT to_regclass(${TABLE}) IS NOT NULL AS exists`.execute(
    db,
  )
  if (!rows[0]?.exists) return []
  const done = await sql<{ name: string }>`SELECT name FROM ${sql.table(TABLE)}`.execute(db)
  return done.rows.map(row => row.name)
}

/** In the transaction `trx`. */
export async function applyMigration(trx: Kysely<unknown>, name: string, at: string): Promise<void> {
  await sql`CREATE TABLE IF NOT EXISTS ${sql.table(TABLE)} (
    name varchar(255) PRIMARY KEY, timestamp varchar(255) NOT NULL)`.execute(trx)
  await sql.raw(await readFile(new URL(`migrations/${name}.sql`, DB_FOLDER), 'utf8')).execute(trx)
  await sql`INSERT INTO ${sql.table(TABLE)} (name, timestamp) VALUES (${name}, ${at})`.execute(trx)
}

/**
 * Migrations that this version needs and the database lacks. A newer schema is accepted (expand, then contract). Until the
 * last migration has given `mintmark_app` its rights, all are pending.
 */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const needed = await migrationNames()
  const applied = await database.run(async (db): Promise<string[]> => {
    const { rows } = await sql<{ granted: boolean }>`
      SELECT has_table_privilege(oid, to_regclass(${TABLE}), 'SELECT') AS granted
      FROM pg_roles WHERE rolname = 'mintmark_app'`.execute(db)
    return rows[0]?.granted ? appliedMigrations(db) : []
  })
  return needed.filter(name => !applied.includes(name))
}
