import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type KeyStatus, keyStatusOf } from './key-status.ts'

/** The status of keys by id, in one snapshot. Unknown ids are missing in the result. */
export async function readKeyStatuses(
  db: Handle,
  keyIds: readonly string[],
): Promise<Map<string, KeyStatus>> {
  const { rows } = await sql<{ id: string; revoked: boolean; disabled: boolean; suspended: boolean }>`
    SELECT k.id, k.revoked_at IS NOT NULL AS revoked, k.disabled_at IS NOT NULL AS disabled,
      t.suspended_at IS NOT NULL AS suspended
    FROM api_keys AS k JOIN tenants AS t ON t.id = k.tenant_id
    WHERE k.id = ANY (${[...keyIds]}::text[])`.execute(db)
  return new Map(rows.map(row => [row.id, keyStatusOf(row)]))
}
