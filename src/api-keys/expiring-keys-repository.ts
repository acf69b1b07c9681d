import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/** Keys that have not ended, by how soon they will. */
export interface ExpiringCounts {
  in7Days: number
  in30Days: number
  /** Of those in 7 days, the ones that were used in the last 7. */
  used: number
}

export async function countExpiring(db: Handle): Promise<ExpiringCounts> {
  const { rows } = await sql<Record<keyof ExpiringCounts, string>>`
    WITH expiring AS (
      SELECT id, expires_at <= now() + interval '7 days' AS soon FROM api_keys
      WHERE revoked_at IS NULL AND expires_at > now() AND expires_at <= now() + interval '30 days'
    )
    SELECT count(*) AS "in30Days", count(*) FILTER (WHERE soon) AS "in7Days", (
      SELECT count(DISTINCT key_id) FROM api_key_secrets AS s JOIN expiring ON expiring.id = s.key_id
      WHERE soon AND s.last_used_at > now() - interval '7 days') AS used
    FROM expiring`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the count of expiring keys has no row')
  return { in7Days: Number(row.in7Days), in30Days: Number(row.in30Days), used: Number(row.used) }
}
