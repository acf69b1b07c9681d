import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { Rejection } from './usage-record.ts'
import type { RecordColumns, Rejections } from './usage-record-batch.ts'

/** Partitions of usage_records: each holds one hour in turn (db/migrations/0018_usage.sql). */
export const SLOTS = 32

/** Held shared while records are booked, alone while a month closes or a reporter is voided. */
const LEDGER_LOCK = 1_800_001_826

export async function shareLedger(trx: Handle): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock_shared(${LEDGER_LOCK})`.execute(trx)
}

export async function lockLedger(trx: Handle): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(${LEDGER_LOCK})`.execute(trx)
}

/** Months before this time are closed: by an administrator, or because none of their records is accepted any more. */
export const openFrom = (dedupSeconds: number) => sql<Date>`
  (SELECT greatest(open_from, date_trunc('month', now() - make_interval(secs => ${dedupSeconds}), 'UTC')) FROM usage_ledger)`

/** `counted` records are new; the others were counted before, or rejected for one of the reasons. */
export interface Booking {
  counted: number
  rejected: Rejections
}

/**
 * Adds the records that are new to the totals of their hour; to those of the current hour when their month is closed. Of several with the same
 * id, the first that is not rejected is counted.
 * Rows are written in the order of their keys, so that two batches never wait for each other. Undefined: the reporter
 * was deleted.
 */
export async function bookRecords(
  trx: Handle,
  reporterId: string,
  columns: RecordColumns,
  { dedupSeconds, hours }: { dedupSeconds: number; hours: readonly number[] },
): Promise<Booking | undefined> {
  const { rows } = await sql<{ result: Rejection | 'counted' | 'reporter'; count: number }>`
    WITH reporter AS (
      SELECT id FROM usage_reporters WHERE id = ${reporterId} AND deleted_at IS NULL
    ), ledger AS MATERIALIZED (
      SELECT ${openFrom(dedupSeconds)} AS open_from
    ), incoming AS (
      SELECT decode(id, 'hex') AS id, place, number, to_timestamp(number * 3600.0) AS hour, tenant, key, model, refused, estimated, input, cached, output
      FROM unnest(
        ${columns.id}::text[], ${columns.hour}::int[], ${columns.tenantId}::text[], ${columns.keyId}::text[],
        ${columns.model}::text[], ${columns.refused}::bool[], ${columns.estimated}::bool[], ${columns.inputTokens}::bigint[],
        ${columns.cachedInputTokens}::bigint[], ${columns.outputTokens}::bigint[]
      ) WITH ORDINALITY AS r (id, number, tenant, key, model, refused, estimated, input, cached, output, place)
    ), named AS MATERIALIZED (
      SELECT i.*, coalesce(k.id, '') AS known_key, coalesce(m.name, '') AS known_model,
        CASE WHEN t.id IS NULL AND d.id IS NULL THEN 'tenant'
          WHEN t.id IS NOT NULL AND k.tenant_id IS DISTINCT FROM t.id THEN 'key' END AS fault
      FROM incoming AS i LEFT JOIN tenants AS t ON t.id = i.tenant LEFT JOIN deleted_tenants AS d ON d.id = i.tenant
      LEFT JOIN api_keys AS k ON k.id = i.key LEFT JOIN models AS m ON m.name = i.model
    ), fresh AS (
      INSERT INTO usage_records (slot, hour, reporter_id, id, received_at, booked, tenant_id, key_id, model,
        refused, estimated, input_tokens, cached_input_tokens, output_tokens)
      SELECT DISTINCT ON (n.id) n.number % ${sql.lit(SLOTS)}, n.hour, reporter.id, n.id, clock_timestamp(),
        CASE WHEN n.hour < ledger.open_from THEN date_trunc('hour', now(), 'UTC') ELSE n.hour END,
        n.tenant, n.known_key, n.known_model, n.refused, n.estimated, n.input, n.cached, n.output
      FROM named AS n CROSS JOIN reporter CROSS JOIN ledger
      WHERE n.fault IS NULL AND ${isNew(reporterId, hours)}
      ORDER BY n.id, n.place
      ON CONFLICT DO NOTHING
      RETURNING hour, booked, reporter_id, tenant_id, key_id, model, refused, estimated, input_tokens, cached_input_tokens,
        output_tokens
    ), sums AS (
      SELECT booked, tenant_id, key_id, model, reporter_id,
        count(*) FILTER (WHERE NOT refused) AS requests, count(*) FILTER (WHERE refused) AS refused_requests,
        count(*) FILTER (WHERE estimated) AS estimated_requests, count(*) FILTER (WHERE booked <> hour) AS adjusted_requests,
        sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens
      FROM fresh GROUP BY booked, tenant_id, key_id, model, reporter_id
    ), totals AS (
      INSERT INTO usage_totals AS t (hour, tenant_id, key_id, model, reporter_id, labels, requests, refused_requests,
        estimated_requests, adjusted_requests, input_tokens, cached_input_tokens, output_tokens)
      SELECT s.booked, s.tenant_id, s.key_id, s.model, s.reporter_id,
        coalesce(tenants.labels, '{}') || coalesce(api_keys.labels, '{}'), s.requests, s.refused_requests,
        s.estimated_requests, s.adjusted_requests, s.input_tokens, s.cached_input_tokens, s.output_tokens
      FROM sums AS s LEFT JOIN tenants ON tenants.id = s.tenant_id LEFT JOIN api_keys ON api_keys.id = s.key_id
      ORDER BY s.tenant_id, s.booked, s.key_id, s.model
      ON CONFLICT (tenant_id, hour, key_id, model, reporter_id) DO UPDATE SET
        requests = t.requests + excluded.requests,
        refused_requests = t.refused_requests + excluded.refused_requests,
        estimated_requests = t.estimated_requests + excluded.estimated_requests,
        adjusted_requests = t.adjusted_requests + excluded.adjusted_requests,
        input_tokens = t.input_tokens + excluded.input_tokens,
        cached_input_tokens = t.cached_input_tokens + excluded.cached_input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens
    )
    SELECT 'reporter' AS result, count(*)::int AS count FROM reporter
    UNION ALL SELECT 'counted', count(*)::int FROM fresh
    UNION ALL SELECT fault, count(*)::int FROM named WHERE fault IS NOT NULL GROUP BY fault`.execute(trx)
  const counts = Object.fromEntries(rows.map(({ result, count }) => [result, count]))
  const { reporter, counted = 0, ...rejected } = counts
  return reporter === 0 ? undefined : { counted, rejected }
}

/**
 * Whether no other hour than its own has a record's id: the partition of its own hour has a primary key for that. Each condition names one
 * partition, whose index is then searched once for a record; a list of them would be searched for in each.
 */
const isNew = (reporterId: string, hours: readonly number[]) =>
  sql.join(
    hours.map(hour => {
      const slot = sql.lit(hour % SLOTS)
      return sql`(n.number % ${sql.lit(SLOTS)} = ${slot} OR NOT EXISTS (
        SELECT FROM usage_records AS seen
        WHERE seen.slot = ${slot} AND seen.reporter_id = ${reporterId} AND seen.id = n.id
        OFFSET 0))`
    }),
    sql` AND `,
  )

/** Removes what no report can repeat any more, and totals that are too old. Returns the number of removed totals. */
export async function pruneUsage(
  db: Handle,
  { dedupSeconds, retentionDays }: { dedupSeconds: number; retentionDays: number },
): Promise<number> {
  // One hour more than reports are accepted: a report that is being counted never meets the end of its hour's partition.
  await sql`SELECT prune_usage_records(make_interval(secs => ${dedupSeconds + 3600}))`.execute(db)
  const { rows } = await sql<{ pruned: string }>`
    SELECT prune_usage_totals(make_interval(days => ${retentionDays})) AS pruned`.execute(db)
  return Number(rows[0]?.pruned ?? 0)
}
