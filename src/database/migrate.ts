import { readdir, readFile } from 'node:fs/promises'
import { Kysely, PostgresAdapter, PostgresDialect, sql } from 'kysely'
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration'
import pg from 'pg'
import { CannotStart } from '../errors.ts'
import { systemClock } from '../system/clock.ts'
import type { Database } from './database.ts'
import { DB_FOLDER } from './db-folder.ts'
import { buildIndexes } from './indexes.ts'
import { fillMakers } from './makers.ts'

const MIGRATION_TABLE = 'mintmark_migration'

/** The SQL files of db/migrations in the order of their names, each one migration. */
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

/** Without Kysely's own lock: it belongs to a session, which a transaction-mode pooler does not keep. */
class MigrationDialect extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return Object.assign(new PostgresAdapter(), {
      acquireMigrationLock: async () => {},
      releaseMigrationLock: async () => {},
    })
  }
}

/** A migration that waits longer for a table lock is retried, because other statements queue behind it. */
const LOCK_TIMEOUT = '300ms'
const PAUSE_MS = 200
const LONGEST_MS = 60_000

/**
 * Brings the schema up to date: each migration in its own transaction, db/roles.sql with the last of them, then who made
 * older keys, then the indexes of db/indexes.sql. Safe when several processes start at once, through a pooler, and after a crash. `url` must
 * use the owner role; `upTo` names the last migration, for upgrade tests: roles and indexes are not touched then.
 * Returns the names of the migrations applied by this call.
 */
export async function migrate(url: string, options: { upTo?: string } = {}): Promise<string[]> {
  const pool = new pg.Pool({
    connectionString: url,
    // One connection holds the lock, the other migrates.
    max: 2,
    connectionTimeoutMillis: 5000,
    keepAlive: true,
    application_name: 'mintmark-migrate',
  })
  // A lost connection fails the current statement; the event must not also end the process.
  pool.on('error', () => {}).on('connect', client => void client.on('error', () => {}))
  const db = new Kysely<unknown>({ dialect: new MigrationDialect({ pool }) })
  try {
    return await underLock(db, async () => {
      const applied: string[] = []
      for (;;) {
        const { name, done } = await withLockRetries(() => applyNext(db, options.upTo))
        if (name !== undefined) applied.push(name)
        if (done) break
      }
      if (options.upTo === undefined) {
        while (!(await withLockRetries(() => fillPart(db)))) {}
        await buildIndexes(db)
      }
      return applied
    })
  } finally {
    await db.destroy()
  }
}

/**
 * Runs one process at a time, by an advisory lock of an open transaction, because a pooler does not keep session locks.
 * CREATE INDEX CONCURRENTLY waits for every open snapshot. So other processes poll for the lock, and the query that
 * takes it has no parameters: the portal of a parameterized statement stays open and keeps its snapshot.
 */
async function underLock<T>(db: Kysely<unknown>, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const worked = await db.transaction().execute(async trx => {
      const { rows } = await sql<{ mine: boolean }>`
        SELECT pg_try_advisory_xact_lock(hashtext(${sql.lit(MIGRATION_TABLE)})) AS mine,
          set_config('idle_in_transaction_session_timeout', '0', true)`.execute(trx)
      return rows[0]?.mine ? { result: await work() } : undefined
    })
    if (worked) return worked.result
    await systemClock.sleep(PAUSE_MS)
  }
}

/** Retries for a minute when a lock is not available. */
async function withLockRetries<T>(work: () => Promise<T>): Promise<T> {
  const begun = systemClock.monotonicMs()
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if ((error as { code?: unknown }).code !== LOCK_NOT_AVAILABLE) throw error
      if (systemClock.monotonicMs() - begun > LONGEST_MS) throw new CannotStart(HELD, { cause: error })
      await systemClock.sleep(PAUSE_MS)
    }
  }
}

const LOCK_NOT_AVAILABLE = '55P03'
const HELD =
  'Another session has held a lock that the migration needs for more than a minute. End that session (pg_stat_activity), then migrate again.'

/** Applies one migration, and the roles with the last; `done` when no further one is pending. */
async function applyNext(db: Kysely<unknown>, upTo: string | undefined) {
  return db.transaction().execute(async trx => {
    await sql`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`.execute(trx)
    const migrator = new Migrator({
      db: trx,
      provider,
      migrationTableName: MIGRATION_TABLE,
      migrationLockTableName: `${MIGRATION_TABLE}_lock`,
    })
    const left = (await migrator.getMigrations()).filter(({ executedAt }) => !executedAt)
    const wanted = left.filter(({ name }) => upTo === undefined || name <= upTo)
    const { error, results = [] } = wanted.length > 0 ? await migrator.migrateUp() : {}
    if (error) throw error
    const done = wanted.length <= 1
    if (done && upTo === undefined)
      await sql.raw(await readFile(new URL('roles.sql', DB_FOLDER), 'utf8')).execute(trx)
    return { name: results[0]?.migrationName, done }
  })
}

/** Gives up on rows that others have locked, so that they never wait long for it. */
const fillPart = (db: Kysely<unknown>): Promise<boolean> =>
  db.transaction().execute(async trx => {
    await sql`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`.execute(trx)
    return fillMakers(trx)
  })

/** Migrations that this version needs and the database lacks. A newer schema is accepted (expand, then contract). */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const needed = await migrationNames()
  const applied = await database.run(async db => {
    const { rows } = await sql<{
      exists: boolean
    }>`SELECT to_regclass(${MIGRATION_TABLE}) IS NOT NULL AS exists`.execute(db)
    if (!rows[0]?.exists) return []
    const done = await sql<{ name: string }>`SELECT name FROM ${sql.table(MIGRATION_TABLE)}`.execute(db)
    return done.rows.map(row => row.name)
  })
  return needed.filter(name => !applied.includes(name))
}

/** True when the role that `database` connects as owns the tables: allowed in development, rejected in production. */
export async function connectsAsOwner(database: Database): Promise<boolean> {
  return database.run(async db => {
    const { rows } = await sql<{ owner: boolean }>`
      SELECT pg_has_role(current_user, relowner, 'USAGE') AS owner FROM pg_class WHERE oid = 'installation'::regclass`.execute(
      db,
    )
    return rows[0]?.owner ?? false
  })
}
