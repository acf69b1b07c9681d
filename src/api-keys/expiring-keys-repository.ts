import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { SPAN_BITS } from '../database/spans.ts'
import { endsWithin } from './key-state-repository.ts'

/** Number of live keys that expire within a time. */
export interface ExpiringCounts {
  in7Days: number
  in30Days: number
  /** Of those that expire in 7 days, the keys used today or in the 7 days before. */
  used: number
}

/** By spans (database/spans.ts), each searched by an index on the ends. */
export async function countExpiring(db: Handle): Promise<ExpiringCounts> {
  const bits = sql.lit(SPAN_BITS)
  const { rows } = await sql<Record<keyof ExpiringCounts, string>>`
    SELECT count(*) AS "in30Days", count(*) FILTER (WHERE soon) AS "in7Days",
      count(*) FILTER (WHERE soon AND last_used_on >= (now() AT TIME ZONE 'UTC')::date - 7) AS used
    FROM generate_series((SELECT min(seq) FROM api_keys) >> ${bits}, (SELECT max(seq) FROM api_keys) >> ${bits}) AS span
    CROSS JOIN LATERAL (
      SELECT last_used_on, ${endsWithin('api_keys', '7 days')} AS soon FROM api_keys
      WHERE seq >> ${bits} = span AND seq >= span << ${bits} AND seq < (span + 1) << ${bits}
        AND ${endsWithin('api_keys', '30 days')} OFFSET 0
    ) AS found`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the count of expiring keys has no row')
  return { in7Days: Number(row.in7Days), in30Days: Number(row.in30Days), used: Number(row.used) }
}
