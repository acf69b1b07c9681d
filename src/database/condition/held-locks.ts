import { sql } from 'kysely'
import type { Database } from '../database.ts'
import { TABLES } from './rights.ts'

/** Those that wait for none of our statements, and let them wait (PostgreSQL manual, "Explicit Locking"). */
const BLOCKING = ['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']

/**
 * The session of another role that holds a lock on one of our tables, as VACUUM FULL, CREATE INDEX and ALTER TABLE do, with the
 * cure; undefined: none does. Mintmark waits at most 600 ms for a lock.
 */
export async function heldLock(database: Database): Promise<string | undefined> {
  const { rows } = await database.run(db =>
    sql<{ name: string; pid: number; role: string; mode: string }>`
      SELECT name, pid, usename AS role, mode
      FROM unnest(${TABLES}::text[]) AS wanted (name)
      JOIN pg_locks ON relation = to_regclass(name)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      JOIN pg_stat_activity USING (pid)
      WHERE granted AND mode = ANY(${BLOCKING}::text[]) AND usename <> session_user
      ORDER BY name LIMIT 1`.execute(db),
  )
  const [row] = rows
  return (
    row &&
    `The session ${row.pid} of the role "${row.role}" holds the lock ${row.mode} on the table ${row.name}: what needs the table gets 503 until it ends. Wait for it, or as an administrator: SELECT pg_terminate_backend(${row.pid}).`
  )
}
