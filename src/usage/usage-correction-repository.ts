import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { openFrom, SLOTS } from './usage-record-repository.ts'

/** Closes all months before this time. Returns the time before which months are closed now. */
export async function closeBefore(trx: Handle, end: Date): Promise<Date> {
  const { rows } = await sql<{ open_from: Date }>`
    UPDATE usage_ledger SET open_from = greatest(open_from, ${end}) RETURNING open_from`.execute(trx)
  return (rows[0] as { open_from: Date }).open_from
}

/** The time before which months are closed. */
export async function readOpenFrom(db: Handle, dedupSeconds: number): Promise<Date> {
  const { rows } = await sql<{ at: Date }>`SELECT ${openFrom(dedupSeconds)} AS at`.execute(db)
  return (rows[0] as { at: Date }).at
}

/** Marks the reporter as voided. Returns the earliest time since which what it reported is taken back. */
export async function setVoidedSince(trx: Handle, reporterId: string, since: Date): Promise<Date> {
  const { rows } = await sql<{ voided_since: Date }>`
    UPDATE usage_reporters SET voided_since = least(voided_since, ${since}) WHERE id = ${reporterId}
    RETURNING voided_since`.execute(trx)
  return (rows[0] as { voided_since: Date }).voided_since
}

/**
 * Since when what a voided reporter sent is taken back, and the hours in which it has corrections of closed months. Locks its row until the
 * end of the transaction, whose statements are not compiled: for 32 partitions that would take longer than to run them.
 */
export async function lockVoid(
  trx: Handle,
  reporterId: string,
): Promise<{ since: Date; correctedHours: readonly Date[] }> {
  await sql`SELECT set_config('jit', 'off', true)`.execute(trx)
  const row = await trx
    .selectFrom('usage_reporters')
    // They have what was taken from closed months, and stay: a repeated void takes only what is still due.
    .select(['voided_since', 'corrected_hours'])
    .where('id', '=', reporterId)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return { since: row.voided_since as Date, correctedHours: row.corrected_hours }
}

export async function addCorrectedHour(trx: Handle, reporterId: string, hour: Date): Promise<void> {
  await sql`
    UPDATE usage_reporters SET corrected_hours = corrected_hours || ${hour}::timestamptz
    WHERE id = ${reporterId} AND ${hour} <> ALL (corrected_hours)`.execute(trx)
}

/** What a correction took from the totals. */
export interface Removed {
  requests: number
  inputTokens: number
  outputTokens: number
}

interface RemovedRow {
  requests: string
  input_tokens: string
  output_tokens: string
}

const toRemoved = (row: RemovedRow | undefined): Removed => ({
  requests: Number(row?.requests ?? 0),
  inputTokens: Number(row?.input_tokens ?? 0),
  outputTokens: Number(row?.output_tokens ?? 0),
})

/** The open hours, from `from` on, in which this reporter has totals. */
export async function openHoursOf(
  db: Handle,
  reporterId: string,
  { from, most }: { from: Date; most: number },
): Promise<Date[]> {
  const rows = await db
    .selectFrom('usage_totals')
    .select('hour')
    .distinct()
    .where('reporter_id', '=', reporterId)
    .where('hour', '>=', from)
    .orderBy('hour')
    .limit(most)
    .execute()
  return rows.map(({ hour }) => hour)
}

/** A record is accepted for a day after its request, and is then counted within an hour. */
export const MOST_HOURS_LATE = 25

const SUMS = sql`
  count(*) FILTER (WHERE NOT refused) AS requests, count(*) FILTER (WHERE refused) AS refused_requests,
  count(*) FILTER (WHERE estimated) AS estimated_requests, count(*) FILTER (WHERE booked <> hour) AS adjusted_requests,
  sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens`

/** Whether this reporter sent records of the requests of this hour since then that are counted before `to`, and are still stored. */
export async function hasLateRecords(
  db: Handle,
  reporterId: string,
  { hour, to, since }: { hour: number; to: Date; since: Date },
): Promise<boolean> {
  const { rows } = await sql`
    SELECT FROM usage_records WHERE slot = ${hour % SLOTS} AND reporter_id = ${reporterId}
      AND booked < ${to} AND received_at >= ${since} LIMIT 1`.execute(db)
  return rows.length > 0
}

/**
 * Deletes the records of the requests of one hour that were received since then and are counted in hours from `from` to `to`, and subtracts
 * exactly these from their totals.
 */
export async function takeBackRecords(
  trx: Handle,
  reporterId: string,
  { hour, from, to, since }: { hour: number; from: Date; to: Date; since: Date },
): Promise<Removed> {
  const { rows } = await sql<RemovedRow>`
    WITH taken AS (
      DELETE FROM usage_records WHERE slot = ${hour % SLOTS} AND reporter_id = ${reporterId}
        AND booked >= ${from} AND booked < ${to} AND received_at >= ${since}
      RETURNING hour, booked, tenant_id, key_id, model, refused, estimated, input_tokens, cached_input_tokens, output_tokens
    ), sums AS (
      SELECT booked, tenant_id, key_id, model, ${SUMS} FROM taken GROUP BY booked, tenant_id, key_id, model
    ), done AS (
      UPDATE usage_totals AS t SET
        requests = t.requests - s.requests, refused_requests = t.refused_requests - s.refused_requests,
        estimated_requests = t.estimated_requests - s.estimated_requests,
        adjusted_requests = t.adjusted_requests - s.adjusted_requests,
        input_tokens = t.input_tokens - s.input_tokens,
        cached_input_tokens = t.cached_input_tokens - s.cached_input_tokens,
        output_tokens = t.output_tokens - s.output_tokens
      FROM sums AS s
      WHERE t.reporter_id = ${reporterId} AND t.hour = s.booked
        AND t.tenant_id = s.tenant_id AND t.key_id = s.key_id AND t.model = s.model
    )
    SELECT sum(requests) AS requests, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens
    FROM sums`.execute(trx)
  return toRemoved(rows[0])
}

/**
 * Computes the totals of one hour, that of `since` or a later one, again: from the records that are still stored and were received before
 * `since`; the later ones are deleted. Where records are not stored any more, nothing is left of the hour.
 */
export async function recomputeHour(
  trx: Handle,
  reporterId: string,
  { hour, since }: { hour: Date; since: Date },
): Promise<Removed> {
  await sql`
    DELETE FROM usage_records WHERE reporter_id = ${reporterId} AND booked = ${hour} AND received_at >= ${since}`.execute(
    trx,
  )
  const { rows } = await sql<RemovedRow>`
    WITH kept AS (
      SELECT tenant_id, key_id, model, ${SUMS} FROM usage_records
      WHERE reporter_id = ${reporterId} AND booked = ${hour} GROUP BY tenant_id, key_id, model
    ), before AS (
      SELECT tenant_id, key_id, model, requests, input_tokens, output_tokens FROM usage_totals
      WHERE reporter_id = ${reporterId} AND hour = ${hour} FOR UPDATE
    ), done AS (
      UPDATE usage_totals AS t SET
        requests = coalesce(kept.requests, 0), refused_requests = coalesce(kept.refused_requests, 0),
        estimated_requests = coalesce(kept.estimated_requests, 0), adjusted_requests = coalesce(kept.adjusted_requests, 0),
        input_tokens = coalesce(kept.input_tokens, 0), cached_input_tokens = coalesce(kept.cached_input_tokens, 0),
        output_tokens = coalesce(kept.output_tokens, 0)
      FROM before LEFT JOIN kept USING (tenant_id, key_id, model)
      WHERE t.reporter_id = ${reporterId} AND t.hour = ${hour}
        AND t.tenant_id = before.tenant_id AND t.key_id = before.key_id AND t.model = before.model
      RETURNING before.requests - t.requests AS requests, before.input_tokens - t.input_tokens AS input_tokens,
        before.output_tokens - t.output_tokens AS output_tokens
    )
    SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(input_tokens), 0) AS input_tokens,
      coalesce(sum(output_tokens), 0) AS output_tokens FROM done`.execute(trx)
  return toRemoved(rows[0])
}

/** What is left to take back of one count: all of the hours from `from` on, without the records that stay; of earlier hours the late records. */
const dueOf = (column: string) => {
  const name = sql.ref(column)
  return sql`greatest(0, sum(t.is_whole * t.${name} + coalesce(s.sign * s.${name}, 0))) AS ${name}`
}

/**
 * Takes back what closed months have of this reporter, in the totals of `hour`, the current one: closed months keep their numbers. From `from`
 * (the hour of `since`) on, that is all but the records from before `since` that are still stored; of earlier hours it is the stored records that
 * were received since then. `corrected` are the hours with corrections, which are so included: what was taken back before is not taken again.
 * `hours` are those of whose requests records are read. A new total has the labels of the last hour that is taken. Undefined: nothing is left.
 */
export async function correctClosed(
  trx: Handle,
  reporterId: string,
  given: {
    since: Date
    from: Date
    openFrom: Date
    corrected: readonly Date[]
    hours: readonly number[]
    hour: Date
  },
): Promise<Removed | undefined> {
  const { since, from, corrected } = given
  const slots = given.hours.map(hour => hour % SLOTS)
  const { rows } = await sql<RemovedRow>`
    WITH stored AS (
      SELECT booked AS hour, tenant_id, key_id, model, CASE WHEN booked < ${from} THEN 1 ELSE -1 END AS sign, ${SUMS}
      FROM usage_records
      WHERE slot = ANY (${slots}::int[]) AND reporter_id = ${reporterId}
        AND (booked < ${from}) = (received_at >= ${since})
      GROUP BY booked, tenant_id, key_id, model
    ), totals AS (
      SELECT (hour >= ${from})::int AS is_whole, hour, tenant_id, key_id, model, labels, requests, refused_requests,
        estimated_requests, input_tokens, cached_input_tokens, output_tokens
      FROM usage_totals
      WHERE reporter_id = ${reporterId} AND hour >= ${from}::timestamptz - make_interval(hours => ${MOST_HOURS_LATE})
        AND (hour < ${given.openFrom} OR hour = ANY (${corrected}::timestamptz[]))
    ), due AS (
      SELECT t.tenant_id, t.key_id, t.model, ${dueOf('requests')}, ${dueOf('refused_requests')}, ${dueOf('estimated_requests')},
        ${dueOf('input_tokens')}, ${dueOf('cached_input_tokens')}, ${dueOf('output_tokens')},
        (array_agg(t.labels ORDER BY t.hour DESC))[1] AS labels
      FROM totals AS t LEFT JOIN stored AS s USING (hour, tenant_id, key_id, model)
      WHERE t.is_whole = 1 OR s.sign = 1
      GROUP BY t.tenant_id, t.key_id, t.model
    ), closed AS (
      -- A correction of late records that are not stored any more is set off against what else is due, so that a later void with an
      -- earlier time may take too little, and never too much.
      SELECT tenant_id, key_id, model, labels, requests, refused_requests, estimated_requests, input_tokens,
        cached_input_tokens, output_tokens
      FROM due WHERE requests + refused_requests > 0
    ), done AS (
      INSERT INTO usage_totals AS t (hour, tenant_id, key_id, model, reporter_id, labels, requests, refused_requests,
        estimated_requests, adjusted_requests, input_tokens, cached_input_tokens, output_tokens)
      SELECT ${given.hour}::timestamptz, tenant_id, key_id, model, ${reporterId}, labels, -requests, -refused_requests,
        -estimated_requests, requests + refused_requests, -input_tokens, -cached_input_tokens, -output_tokens
      FROM closed
      ON CONFLICT (tenant_id, hour, key_id, model, reporter_id) DO UPDATE SET
        requests = t.requests + excluded.requests, refused_requests = t.refused_requests + excluded.refused_requests,
        estimated_requests = t.estimated_requests + excluded.estimated_requests,
        adjusted_requests = t.adjusted_requests + excluded.adjusted_requests,
        input_tokens = t.input_tokens + excluded.input_tokens,
        cached_input_tokens = t.cached_input_tokens + excluded.cached_input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens
    )
    SELECT sum(requests) AS requests, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens
    FROM closed HAVING count(*) > 0`.execute(trx)
  return rows[0] && toRemoved(rows[0])
}
