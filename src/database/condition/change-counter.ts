import { sql } from 'kysely'
import type { Database } from '../database.ts'

/**
 * Whether the tables continue at the counter of changes, which is written with each of them: then changes can be made.
 * Otherwise why not, with the cure; undefined: they do.
 */
export async function brokenCounter(database: Database): Promise<string | undefined> {
  const { rows } = await database.run(db =>
    sql<{ counted: string; last: string; number: string; newest: string }>`
      SELECT audit_id AS counted, coalesce((SELECT max(id) FROM audit_events), audit_cut_id) AS last, number,
        coalesce((SELECT max(number) FROM change_feed), number) AS newest
      FROM change_counter`.execute(db),
  )
  const [row] = rows
  if (!row) return `The table change_counter is empty${AS_AFTER}`
  const { counted, last, number, newest } = row
  // Rows that are missing at the end of the trail are for "audit verify": they stop no change.
  if (BigInt(counted) < BigInt(last))
    return `The table change_counter is at audit row ${counted}, and audit_events at row ${last}${AS_AFTER}`
  if (BigInt(newest) > BigInt(number))
    return `The table change_counter is at change ${number}, and change_feed at ${newest}${AS_AFTER}`
  return undefined
}

const AS_AFTER =
  ', as after "pg_restore --data-only" into a migrated database, or a restore of single tables: no change can be made. Restore the whole dump into an empty database (docs/guides/restore.md).'
