import { sql } from 'kysely'
import type { Database } from '../database.ts'

/**
 * Whether the tables continue at the counter of changes, which is written with each of them: then changes can be made.
 * Otherwise why not, with the cure; undefined: they do. A row far ahead of the counter, as anyone who can write to the
 * database may add one, stops no change and is for `audit verify`.
 */
export async function brokenCounter(database: Database): Promise<string | undefined> {
  const { rows } = await database.run(db =>
    sql<Counted>`
      SELECT audit_id AS audited, number AS changed,
        EXISTS (SELECT FROM audit_events WHERE id = audit_id + 1)
          OR audit_id + 1 < (SELECT min(id) FROM audit_events) AS audit_ahead,
        EXISTS (SELECT FROM change_feed AS f WHERE f.number = c.number + 1)
          OR c.number + 1 < (SELECT min(f.number) FROM change_feed AS f) AS feed_ahead
      FROM change_counter AS c`.execute(db),
  )
  const [row] = rows
  if (!row) return `The table change_counter is empty${AS_AFTER}`
  if (row.audit_ahead)
    return `The table change_counter is at audit row ${row.audited}, and audit_events has later ones${AS_AFTER}`
  if (row.feed_ahead)
    return `The table change_counter is at change ${row.changed}, and change_feed has later ones${AS_AFTER}`
  return undefined
}

interface Counted {
  audited: string
  changed: string
  /** The next change would have the number of a row that exists, or one before all of them. */
  audit_ahead: boolean
  feed_ahead: boolean
}

const AS_AFTER =
  ', as after "pg_restore --data-only" into a migrated database, or a restore of single tables: no change can be made. Restore the whole dump into an empty database (docs/guides/restore.md).'
