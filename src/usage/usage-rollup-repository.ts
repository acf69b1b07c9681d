import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { lockLedger } from './usage-record-repository.ts'

/** What is summed, the longest first. `five_days`: a sixth of a month, from its 1st, 6th, 11th, 16th, 21st or 26th day; the last to its end. */
export const ROLLUP_UNITS = ['month', 'five_days', 'day'] as const

/** A whole day, five days or month of UTC. */
export interface Rollup {
  unit: (typeof ROLLUP_UNITS)[number]
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
const nextMonth = (month: RawBuilder<unknown>) => sql`date_trunc('month', ${month} + 31 * ${DAY}, 'UTC')`

/**
 * The earliest day that is over for reports and not summed; otherwise five days, or a month, whose days are all summed, and which is
 * not. The first days of those that are kept lose hour after hour, so they are not summed. `except`: not these.
 */
export async function nextRollup(
  db: Handle,
  {
    dedupSeconds,
    retentionDays,
    except = [],
  }: { dedupSeconds: number; retentionDays: number; except?: readonly Rollup[] },
): Promise<Rollup | undefined> {
  const kept = sql`${midnight(sql`now() - make_interval(secs => ${retentionDays}::int * 86400.0)`)} + 2 * ${DAY}`
  const last = sql`${midnight(sql`now() - make_interval(secs => ${dedupSeconds + 3600})`)} - ${DAY}`
  const { rows } = await sql<Rollup>`
    WITH known AS (
      SELECT unit, start FROM usage_rolled
      UNION ALL SELECT unit, start FROM unnest(${except.map(({ unit }) => unit)}::text[], ${except.map(({ start }) => start)}::timestamptz[]) AS e (unit, start)
    ), days AS (
      SELECT day FROM generate_series(
        greatest(${kept}, (SELECT ${midnight(sql`min(hour)`)} FROM usage_totals)), ${last}, ${DAY}) AS day
      WHERE NOT EXISTS (SELECT FROM known WHERE unit = 'day' AND start = day)
      ORDER BY day LIMIT 1
    ), summed AS (
      SELECT start AS day, date_trunc('month', start, 'UTC') AS month FROM usage_rolled WHERE unit = 'day'
    ), longer AS (
      SELECT 'month' AS unit, month AS start, ${nextMonth(sql`month`)} AS finish, day FROM summed
      UNION ALL
      SELECT 'five_days', start, CASE WHEN start = month + 25 * ${DAY} THEN ${nextMonth(sql`month`)} ELSE start + 5 * ${DAY} END, day
      FROM (SELECT day, month, month + least(floor(extract(epoch FROM day - month) / 432000), 5) * 5 * ${DAY} AS start FROM summed) AS s
    )
    (SELECT 'day' AS unit, day AS start, day + ${DAY} AS finish FROM days WHERE EXISTS (SELECT FROM usage_totals))
    UNION ALL (
      SELECT unit, start, finish FROM longer AS l
      WHERE NOT EXISTS (SELECT FROM known AS k WHERE k.unit = l.unit AND k.start = l.start)
      GROUP BY unit, start, finish HAVING count(*) * ${DAY} = finish - start
      ORDER BY unit, start LIMIT 1)
    LIMIT 1`.execute(db)
  return rows[0]
}

/** Sums a day from its hours, anything longer from its days. No report is counted meanwhile. */
export async function rollUp(trx: Handle, { unit, start, finish }: Rollup): Promise<void> {
  await lockLedger(trx)
  const added = await sql`
    INSERT INTO usage_rolled (unit, start, finish)
    SELECT ${unit}, ${start}::timestamptz, ${finish}::timestamptz
    WHERE ${unit} = 'day' OR ${finish}::timestamptz - ${start}::timestamptz = (
      SELECT count(*) * ${DAY} FROM usage_rolled WHERE unit = 'day' AND start >= ${start} AND start < ${finish})
    ON CONFLICT DO NOTHING`.execute(trx)
  // Another replica has done it, or one of its days has changed meanwhile.
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
      GROUP BY tenant_id, key_id, model, reporter_id, labels ORDER BY tenant_id, key_id, model, reporter_id`.execute(
      trx,
    )
}

/** Deletes sums of days and months of which hours are not kept any more. Those that were changed are summed again. */
export async function pruneRollups(db: Handle, retentionDays: number): Promise<void> {
  const kept = sql`now() - make_interval(secs => ${retentionDays}::int * 86400.0)`
  await sql`DELETE FROM usage_rolled WHERE start < ${kept}`.execute(db)
  await sql`
    DELETE FROM usage_rollups WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM usage_rollups WHERE unit IN (${sql.join(ROLLUP_UNITS.map(unit => sql.lit(unit)))}) AND start < ${kept} LIMIT ${sql.lit(MOST_DELETED)}))`.execute(
    db,
  )
}
