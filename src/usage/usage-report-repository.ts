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
  const { rows } = await sql<Sums>`
    SELECT start, tenant, key, model, reporter, requests, refused_requests, estimated_requests, adjusted_requests,
      input_tokens, cached_input_tokens, output_tokens
    FROM (
      SELECT ${start} AS start, ${name('tenant')} AS tenant, ${name('key')} AS key, ${name('model')} AS model,
        ${name('reporter')} AS reporter, sum(requests) AS requests, sum(refused_requests) AS refused_requests,
        sum(estimated_requests) AS estimated_requests, sum(adjusted_requests) AS adjusted_requests,
        sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens
      FROM usage_totals AS t
      WHERE t.hour >= ${from} AND t.hour < ${to} ${only('tenant')} ${only('key')} ${only('model')} ${only('reporter')} ${labels}
      GROUP BY 1, 2, 3, 4, 5
    ) AS sums
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
