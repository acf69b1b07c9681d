import { type Kysely, sql } from 'kysely'

/** Rows of the audit trail that one statement reads: few, because the keys that it writes are locked until its end. */
const AUDIT_ROWS = 500

/**
 * Fills in who created the keys and secrets of versions that did not record it, from the audit trail. It continues where
 * the last run ended. Returns true at the end of the trail. Never overwrites a recorded value.
 */
export async function fillCreators(db: Kysely<unknown>): Promise<boolean> {
  const { rows } = await sql<{ done: boolean }>`
    WITH part AS (
      SELECT greatest(fill.audit_id, audit_cut_id) AS after,
        least(greatest(fill.audit_id, audit_cut_id) + ${AUDIT_ROWS}, counter.audit_id) AS last,
        counter.audit_id AS head
      FROM maker_fill AS fill, change_counter AS counter
    ), created AS (
      SELECT actor, action, target_id AS key_id, changes -> 'secretId' ->> 'to' AS secret_id
      FROM audit_events, part
      WHERE id > part.after AND id <= part.last AND outcome = 'done'
        AND action IN ('key.create', 'key.import', 'key.rotate')
    ), filled_keys AS (
      UPDATE api_keys AS k SET created_by = created.actor FROM created
      WHERE k.id = created.key_id AND created.action <> 'key.rotate' AND k.created_by IS NULL
    ), filled_secrets AS (
      UPDATE api_key_secrets AS s SET created_by = created.actor, by_rotation = created.action = 'key.rotate' FROM created
      WHERE s.id = created.secret_id AND s.created_by IS NULL
    )
    UPDATE maker_fill SET audit_id = part.last FROM part RETURNING part.last >= part.head AS done`.execute(db)
  return rows[0]?.done ?? true
}
