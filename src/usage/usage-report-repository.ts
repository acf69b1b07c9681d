import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { UsageGroup, UsageQuery, UsageRow } from './usage-report.ts'

const COLUMNS = { tenant: 'tenant_id', key: 'key_id', model: 'model', reporter: 'reporter_id' } as const

/**
 * At most `limit` sums, after `after`, ordered by start, tenant, key, model and reporter. What is not grouped is ''. One row
 * for each combination in which something was counted.
 */
export async function readUsage(
  db: Handle,
  query: UsageQuery,
  { limit, after }: { limit: number; after: readonly string[] | null },
): Promise<UsageRow[]> {
  const { groups, from, to, timeZone } = query
  const start = startOf(groups, from, timeZone)
  const name = (group: keyof typeof COLUMNS): RawBuilder<string> =>
    groups.has(group) ? sql`t.${sql.ref(COLUMNS[group])}` : sql`''`
  const labels = query.label
    ? sql`AND ${'value' in query.label ? sql`t.labels ->> ${query.label.name} = ${query.label.value}` : sql`t.labels ->> ${query.label.name} IS NOT NULL`}`
    : sql``
  const only = (group: keyof typeof COLUMNS) =>
    query[group] === undefined ? sql`` : sql`AND t.${sql.ref(COLUMNS[group])} = ANY (${query[group]}::text[])`
  const filters = sql`${only('tenant')} ${only('key')} ${only('model')} ${only('reporter')} ${labels}`
  const { rows } = await sql<Sums>`
    WITH whole AS MATERIALIZED (
      SELECT unit, start, finish FROM usage_rolled WHERE start >= ${from} AND finish <= ${to} AND ${summable(groups, timeZone)}
    ), sums AS MATERIALIZED (
      SELECT unit, start, finish FROM whole AS w
      WHERE unit = 'month'
        OR NOT EXISTS (SELECT FROM whole AS m WHERE m.unit = 'month' AND w.start >= m.start AND w.start < m.finish)
    ), gaps AS MATERIALIZED (
      SELECT lower(gap) AS begin, upper(gap) AS finish
      FROM unnest(tstzmultirange(tstzrange(${from}, ${to}))
        - coalesce((SELECT range_agg(tstzrange(start, finish)) FROM sums), '{}')) AS gap
    ), t AS (
      SELECT start AS hour, ${COUNTED} FROM sums JOIN usage_rollups AS t USING (unit, start) WHERE true ${filters}
      UNION ALL
      SELECT hour, ${COUNTED} FROM gaps JOIN usage_totals AS t ON t.hour >= gaps.begin AND t.hour < gaps.finish
      WHERE true ${filters}
    )
    SELECT start, tenant, key, model, reporter, requests, refused_requests, estimated_requests, adjusted_requests,
      input_tokens, cached_input_tokens, output_tokens
    FROM (
      SELECT ${start} AS start, ${name('tenant')} AS tenant, ${name('key')} AS key, ${name('model')} AS model,
        ${name('reporter')} AS reporter, sum(requests) AS requests, sum(refused_requests) AS refused_requests,
        sum(estimated_requests) AS estimated_requests, sum(adjusted_requests) AS adjusted_requests,
        sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens
      FROM t GROUP BY 1, 2, 3, 4, 5
    ) AS read
    WHERE (requests <> 0 OR refused_requests <> 0 OR adjusted_requests <> 0) ${
      after === null
        ? sql``
        : sql`AND (start, tenant COLLATE "C", key COLLATE "C", model COLLATE "C", reporter COLLATE "C")
            > (${after[0] ?? ''}::timestamptz, ${after[1] ?? ''}, ${after[2] ?? ''}, ${after[3] ?? ''}, ${after[4] ?? ''})`
    }
    ORDER BY start, tenant COLLATE "C", key COLLATE "C", model COLLATE "C", reporter COLLATE "C" LIMIT ${limit}`.execute(
    db,
  )
  return rows.map(toRow)
}

const COUNTED = sql`tenant_id, key_id, model, reporter_id, requests, refused_requests, estimated_requests, adjusted_requests,
  input_tokens, cached_input_tokens, output_tokens`

/** Which sums of whole days and months of UTC (usage-rollup-repository.ts) lie within one group of time. */
function summable(groups: ReadonlySet<UsageGroup>, timeZone: string): RawBuilder<boolean> {
  if (groups.has('hour')) return sql`false`
  const isUtc = timeZone === 'UTC'
  if (groups.has('day')) return isUtc ? sql`unit = 'day'` : sql`false`
  if (!groups.has('month') || isUtc) return sql`true`
  const month = (time: RawBuilder<unknown>) => sql`date_trunc('month', ${time}, ${timeZone}::text)`
  return sql`unit = 'day' AND ${month(sql`start`)} = ${month(sql`finish - interval '1 hour'`)}`
}

/** The beginning of the hour, day or month in the time zone; `from` where time is not grouped. */
function startOf(groups: ReadonlySet<UsageGroup>, from: Date, timeZone: string): RawBuilder<Date> {
  for (const unit of ['hour', 'day', 'month'] as const)
    if (groups.has(unit)) return sql`date_trunc(${sql.lit(unit)}, t.hour, ${timeZone}::text)`
  return sql`${from}::timestamptz`
}

interface Sums {
  start: Date
  tenant: string
  key: string
  model: string
  reporter: string
  requests: string
  refused_requests: string
  estimated_requests: string
  adjusted_requests: string
  input_tokens: string
  cached_input_tokens: string
  output_tokens: string
}

const toRow = (row: Sums): UsageRow => ({
  start: row.start,
  tenant: row.tenant,
  key: row.key,
  model: row.model,
  reporter: row.reporter,
  requests: Number(row.requests),
  refusedRequests: Number(row.refused_requests),
  estimatedRequests: Number(row.estimated_requests),
  adjustedRequests: Number(row.adjusted_requests),
  inputTokens: Number(row.input_tokens),
  cachedInputTokens: Number(row.cached_input_tokens),
  outputTokens: Number(row.output_tokens),
})
