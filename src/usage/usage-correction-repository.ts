import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { openFrom } from './usage-record-repository.ts'

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
 * end of the transaction.
 */
export async function lockVoid(
  trx: Handle,
  reporterId: string,
): Promise<{ since: Date; correctedHours: readonly Date[] }> {
  const row = await trx
    .selectFrom('usage_reporters')
    .select(['voided_since', 'corrected_hours'])
    .where('id', '=', reporterId)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return { since: row.voided_since as Date, correctedHours: row.corrected_hours }
}

export async function setCorrectedHours(
  trx: Handle,
  reporterId: string,
  hours: readonly Date[],
): Promise<void> {
  await sql`UPDATE usage_reporters SET corrected_hours = ${hours}::timestamptz[] WHERE id = ${reporterId}`.execute(
    trx,
  )
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

const SUMS = sql`
  count(*) FILTER (WHERE NOT refused) AS requests, count(*) FILTER (WHERE refused) AS refused_requests,
  count(*) FILTER (WHERE estimated) AS estimated_requests, count(*) FILTER (WHERE booked <> hour) AS adjusted_requests,
  sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens`

/**
 * Computes the totals of one hour again, from the records that are still stored and were received before `since`; the
 * later ones are deleted. Where records are not stored any more, nothing is left of the hour.
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

/**
 * Takes what this reporter has in closed months, from `from` on, from the totals of `hour`, the current one: closed months keep
 * their numbers. A new total there has the labels of the last hour that is taken.
 */
export async function adjustClosed(
  trx: Handle,
  reporterId: string,
  { from, to, hour }: { from: Date; to: Date; hour: Date },
): Promise<Removed> {
  const { rows } = await sql<RemovedRow>`
    WITH closed AS (
      SELECT tenant_id, key_id, model, sum(requests) AS requests, sum(refused_requests) AS refused_requests,
        sum(estimated_requests) AS estimated_requests, sum(input_tokens) AS input_tokens,
        sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens,
        (array_agg(labels ORDER BY hour DESC))[1] AS labels
      FROM usage_totals WHERE reporter_id = ${reporterId} AND hour >= ${from} AND hour < ${to}
      -- Less than nothing: what was corrected is too old and was removed, and its correction was not.
      GROUP BY tenant_id, key_id, model HAVING sum(requests) + sum(refused_requests) > 0
    ), done AS (
      INSERT INTO usage_totals AS t (hour, tenant_id, key_id, model, reporter_id, labels, requests, refused_requests,
        estimated_requests, adjusted_requests, input_tokens, cached_input_tokens, output_tokens)
      SELECT ${hour}::timestamptz, tenant_id, key_id, model, ${reporterId}, labels, -requests, -refused_requests,
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
    SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(input_tokens), 0) AS input_tokens,
      coalesce(sum(output_tokens), 0) AS output_tokens FROM closed`.execute(trx)
  return toRemoved(rows[0])
}
