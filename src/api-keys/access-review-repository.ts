import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/** When a key was last used, with a secret or another credential, by its id. Keys that never were are absent. */
export async function lastUses(db: Handle, ids: readonly string[]): Promise<Map<string, Date>> {
  if (ids.length === 0) return new Map()
  const { rows } = await sql<{ key_id: string; at: Date }>`
    SELECT key_id, max(last_used_at) AS at FROM (
      SELECT key_id, last_used_at FROM api_key_secrets WHERE key_id = ANY (${[...ids]}::text[])
      UNION ALL SELECT key_id, last_used_at FROM key_credentials WHERE key_id = ANY (${[...ids]}::text[])
    ) AS used WHERE last_used_at IS NOT NULL GROUP BY key_id`.execute(db)
  return new Map(rows.map(({ key_id, at }) => [key_id, at]))
}
