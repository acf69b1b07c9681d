import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { lockLedger } from './usage-record-repository.ts'

/** A whole day or month of UTC. */
export interface Rollup {
  unit: 'day' | 'month'
  start: Date
  finish: Date
}

/** Statements of one rollup, so that each ends in time; each takes the tenants of one remainder. */
const PARTS = 4
/** Old rows that are deleted at once. */
const MOST_DELETED = 20_000

const midnight = (time: RawBuilder<unknown>) => sql`date_trunc('day', ${time}, 'UTC')`
/** Not '1 day', which depends on the time zone of the session. */
const DAY = sql`interval '24 hours'`

/**
 * The earliest day that is over for reports and not summed; otherwise a month whose days are all summed, and which is not.
 * The first days of those that are kept lose hour after hour, so they are not summed.
 */
export async function nextRollup(
  db: Handle,
  { dedupSeconds, retentionDays }: { dedupSeconds: number; retentionDays: number },
): Promise<Rollup | undefined> {
  const kept = sql`${midnight(sql`now() - make_interval(secs => ${retentionDays}::int * 86400.0)`)} + 2 * ${DAY}`
  const last = sql`${midnight(sql`now() - make_interval(secs => ${dedupSeconds + 3600})`)} - ${DAY}`
  const { rows } = await sql<Rollup>`
    WITH days AS (
      SELECT day FROM generate_series(
        greatest(${kept}, (SELECT ${midnight(sql`min(hour)`)} FROM usage_totals)), ${last}, ${DAY}) AS day
      WHERE NOT EXISTS (SELECT FROM usage_rolled WHERE unit = 'day' AND start = day)
      ORDER BY day LIMIT 1
    ), months AS (
      SELECT date_trunc('month', start, 'UTC') AS month, count(*) AS days FROM usage_rolled WHERE unit = 'day' GROUP BY 1
    )
    (SELECT 'day' AS unit, day AS start, day + ${DAY} AS finish FROM days WHERE EXISTS (SELECT FROM usage_totals))
    UNION ALL (
      SELECT 'month', month, finish
      FROM (SELECT month, days, date_trunc('month', month + 31 * ${DAY}, 'UTC') AS finish FROM months) AS m
      WHERE days * ${DAY} = finish - month AND NOT EXISTS (SELECT FROM usage_rolled WHERE unit = 'month' AND start = month)
      ORDER BY month LIMIT 1)
    LIMIT 1`.execute(db)
  return rows[0]
}

/** Sums a day from its hours, a month from its days. No report is counted meanwhile. */
export async function rollUp(trx: Handle, { unit, start, finish }: Rollup): Promise<void> {
  await lockLedger(trx)
  const added = await sql`
    INSERT INTO usage_rolled (unit, start, finish) VALUES (${unit}, ${start}, ${finish}) ON CONFLICT DO NOTHING`.execute(
    trx,
  )
  // Another replica has done it.
  if (added.numAffectedRows === 0n) return
  await sql`DELETE FROM usage_rollups WHERE unit = ${unit} AND start = ${start}`.execute(trx)
  const from =
    unit === 'day'
      ? sql`usage_totals AS t WHERE t.hour >= ${start} AND t.hour < ${finish}`
      : sql`usage_rollups AS t WHERE t.unit = 'day' AND t.start >= ${start} AND t.start < ${finish}`
  for (let part = 0; part < PARTS; part++)
    await sql`
      INSERT INTO usage_rollups (unit, start, tenant_id, key_id, model, reporter_id, labels, requests, refused_requests,
        estimated_requests, adjusted_requests, input_tokens, cached_input_tokens, output_tokens)
      SELECT ${unit}, ${start}, tenant_id, key_id, model, reporter_id, labels, sum(requests), sum(refused_requests),
        sum(estimated_requests), sum(adjusted_requests), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens)
      FROM ${from} AND abs(hashtext(t.tenant_id) % ${sql.lit(PARTS)}) = ${part}
      GROUP BY tenant_id, key_id, model, reporter_id, labels`.execute(trx)
}

/** Deletes sums of days and months of which hours are not kept any more. Those that were changed are summed again. */
export async function pruneRollups(db: Handle, retentionDays: number): Promise<void> {
  const kept = sql`now() - make_interval(secs => ${retentionDays}::int * 86400.0)`
  await sql`DELETE FROM usage_rolled WHERE start < ${kept}`.execute(db)
  await sql`
    DELETE FROM usage_rollups WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM usage_rollups WHERE unit IN ('day', 'month') AND start < ${kept} LIMIT ${sql.lit(MOST_DELETED)}))`.execute(
    db,
  )
}
