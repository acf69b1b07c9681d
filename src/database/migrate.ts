import { readFile } from 'node:fs/promises'
import { Kysely, sql } from 'kysely'
import pg from 'pg'
import { CannotStart } from '../errors.ts'
import { systemClock } from '../system/clock.ts'
import type { PasswordCommand } from '../system/password-command.ts'
import { withTimeout } from '../system/timeout.ts'
import { TransactionDialect } from './connection.ts'
import { fillCreators } from './creators.ts'
import { currentClient } from './current-client.ts'
import type { Database } from './database.ts'
import { DB_FOLDER } from './db-folder.ts'
import { buildIndexes } from './indexes.ts'
import { appliedMigrations, applyMigration, migrationNames } from './migrations.ts'
import { prepareForMigration } from './suitability.ts'

/** A migration that waits longer for a table lock is retried, because other statements queue behind it. */
const LIMITS = { lock: '300ms', statement: '0', idle: '0' }
/** Functions that name their schema get it from db/roles.sql, with the last migration. */
const SETTINGS = { check_function_bodies: 'off' }
const PAUSE_MS = 200
const LONGEST_MS = 60_000

/**
 * Brings the schema up to date: each migration in its own transaction, db/roles.sql with the last of them, then who made
 * older keys, then the indexes of db/indexes.sql. Safe when several processes start at once, through a pooler, and after a crash. `url` must
 * use the owner role, with `password` where it has none; `schema` gets the tables; `upTo` names the last migration, for upgrade tests: roles and indexes are not touched then.
 * Returns the names of the migrations applied by this call.
 */
export async function migrate(
  url: string,
  options: { upTo?: string; schema?: string; password?: PasswordCommand | undefined } = {},
): Promise<string[]> {
  const { upTo, schema = 'public', password } = options
  const pool = new pg.Pool({
    Client: currentClient({ url: () => url, password }),
    // One connection holds the lock, the other migrates.
    max: 2,
    connectionTimeoutMillis: 5000,
    keepAlive: true,
    pipeline: true,
    application_name: 'mintmark-migrate',
  })
  // A lost connection fails the current statement; the event must not also end the process.
  pool.on('error', () => {}).on('connect', client => void client.on('error', () => {}))
  const db = new Kysely<unknown>({
    dialect: new TransactionDialect(pool, { schema, limits: LIMITS, settings: SETTINGS }),
  })
  try {
    return await underLock(db, async () => {
      // A pooler with one connection would let the second one wait for the first.
      const second = await withTimeout(systemClock, SECOND_MS, sql`SELECT 1`.execute(db))
      if (second === 'timed_out') throw new CannotStart(ONE_CONNECTION)
      await withLockRetries(() => db.transaction().execute(trx => prepareForMigration(trx, schema)))
      const applied: string[] = []
      for (;;) {
        const { name, done } = await withLockRetries(() => applyNext(db, upTo))
        if (name !== undefined) applied.push(name)
        if (done) break
      }
      if (upTo === undefined) {
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
        SELECT pg_try_advisory_xact_lock(hashtext('mintmark_migration')) AS mine`.execute(trx)
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

const SECOND_MS = 15_000
const ONE_CONNECTION =
  'The server, or the pooler before it, gives the migration no second connection: it needs two. Set default_pool_size of the pooler to 2 or more, or set MIGRATE_DATABASE_URL to the server itself.'
const LOCK_NOT_AVAILABLE = '55P03'
const HELD =
  'Another session has held a lock that the migration needs for more than a minute. End that session (pg_stat_activity), then migrate again.'

/** Applies one migration, and the roles with the last; `done` when no further one is pending. */
async function applyNext(db: Kysely<unknown>, upTo: string | undefined) {
  return db.transaction().execute(async trx => {
    const names = await migrationNames()
    const applied = await appliedMigrations(trx)
    const newer = applied.filter(name => !names.includes(name))
    if (newer.length > 0)
      throw new CannotStart(
        `The schema has migrations of a newer version: ${newer.join(', ')}. Migrate with that version.`,
      )
    const [next, ...later] = names.filter(
      name => !applied.includes(name) && (upTo === undefined || name <= upTo),
    )
    if (next !== undefined) await applyMigration(trx, next, new Date(systemClock.wallMs()).toISOString())
    const done = later.length === 0
    if (done && upTo === undefined)
      await sql.raw(await readFile(new URL('roles.sql', DB_FOLDER), 'utf8')).execute(trx)
    return { name: next, done }
  })
}

/** Gives up on rows that others have locked, so that they never wait long for it. */
const fillPart = (db: Kysely<unknown>): Promise<boolean> =>
  db.transaction().execute(async trx => {
    return fillCreators(trx)
  })

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
