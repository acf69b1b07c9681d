import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Cover, coverOf } from './usage-cover.ts'
import type { UsageQuery, UsageRow } from './usage-report.ts'
import type { Rollup } from './usage-rollup-repository.ts'

const COLUMNS = { tenant: 'tenant_id', key: 'key_id', model: 'model', reporter: 'reporter_id' } as const

/**
 * At most `limit` sums, after `after`, ordered by start, tenant, key, model and reporter. What is not grouped is ''. One row
 * for each combination in which something was counted. `trx` is one snapshot: what is summed in advance is looked up first, so
 * that Postgres plans the sum with the times themselves.
 */
export async function readUsage(
  trx: Handle,
  query: UsageQuery,
  { limit, after }: { limit: number; after: readonly string[] | null },
): Promise<UsageRow[]> {
  const { groups } = query
  const rest = after === null ? query : restOf(query, after)
  const name = (group: keyof typeof COLUMNS): RawBuilder<string> =>
    groups.has(group) ? sql`t.${sql.ref(COLUMNS[group])}` : sql`''`
  const { rows } = await sql<Sums>`
    SELECT start, tenant, key, model, reporter, requests, refused_requests, estimated_requests, adjusted_requests,
      input_tokens, cached_input_tokens, output_tokens
    FROM (
      SELECT start, ${name('tenant')} AS tenant, ${name('key')} AS key, ${name('model')} AS model,
        ${name('reporter')} AS reporter, sum(requests) AS requests, sum(refused_requests) AS refused_requests,
        sum(estimated_requests) AS estimated_requests, sum(adjusted_requests) AS adjusted_requests,
        sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens
      FROM (${rowsOf(rest, await readCover(trx, rest))}) AS t GROUP BY 1, 2, 3, 4, 5
    ) AS read
    WHERE (requests <> 0 OR refused_requests <> 0 OR adjusted_requests <> 0) ${
      after === null
        ? sql``
        : sql`AND (start, tenant COLLATE "C", key COLLATE "C", model COLLATE "C", reporter COLLATE "C")
            > (${after[0] ?? ''}::timestamptz, ${after[1] ?? ''}, ${after[2] ?? ''}, ${after[3] ?? ''}, ${after[4] ?? ''})`
    }
    ORDER BY start, tenant COLLATE "C", key COLLATE "C", model COLLATE "C", reporter COLLATE "C" LIMIT ${limit}`.execute(
    trx,
  )
  return rows.map(toRow)
}

/** What a page after this row needs: the group of time that it was in, and later ones; or its tenant, and later ones. */
function restOf(query: UsageQuery, [start = '', tenant = '']: readonly string[]): Rest {
  const isTimed = TIMES.some(each => query.groups.has(each))
  const begun = new Date(start)
  if (isTimed) return begun > query.from ? { ...query, from: begun } : query
  return query.groups.has('tenant') ? { ...query, tenantFrom: tenant } : query
}

interface Rest extends UsageQuery {
  tenantFrom?: string
}

/**
 * For the rest of the transaction: a sum is not worth compiling, and its groups fit into memory. Times are cut in the zone of the
 * transaction, because another one would be looked up by its name for each row.
 */
const settingsFor = (timeZone: string) =>
  sql`set_config('jit', 'off', true), set_config('work_mem', '64MB', true), set_config('TimeZone', ${timeZone}, true)`

/** What is summed in advance in the range, and the times at which other groups begin there. */
async function readCover(trx: Handle, { groups, from, to, timeZone }: UsageQuery): Promise<Cover> {
  const unit = TIMES.find(each => groups.has(each))
  const local = (time: string) => sql`${sql.ref(time)} AT TIME ZONE ${timeZone}::text`
  const begins =
    unit === undefined || unit === 'hour'
      ? sql`SELECT NULL::timestamptz AS begin WHERE false`
      : sql`SELECT begin AT TIME ZONE ${timeZone}::text AS begin
          FROM (SELECT min(start) AS first, max(finish) AS last FROM summed) AS whole,
            generate_series(date_trunc(${sql.lit(unit)}, ${local('first')}), ${local('last')}, ${sql.lit(`1 ${unit}`)}::interval) AS begin`
  const { rows } = await sql<{ cuts: Date[]; summed: SummedRow[] }>`
    WITH summed AS (
      SELECT unit, start, finish FROM usage_rolled WHERE start >= ${from} AND finish <= ${to} AND ${unit !== 'hour'}
    )
    SELECT ${settingsFor(timeZone)}, (SELECT coalesce(array_agg(begin ORDER BY begin), '{}') FROM (${begins}) AS cut) AS cuts,
      (SELECT coalesce(json_agg(json_build_object('unit', unit, 'start', extract(epoch FROM start),
        'finish', extract(epoch FROM finish)) ORDER BY start), '[]') FROM summed) AS summed`.execute(trx)
  const [{ cuts, summed } = { cuts: [], summed: [] }] = rows
  const rollups = summed.map(({ start, finish, ...each }) => ({
    ...{ ...each, start: new Date(start * 1000), finish: new Date(finish * 1000) },
  }))
  return coverOf({ from, to }, rollups, cuts)
}

/** In epoch seconds. */
interface SummedRow {
  unit: Rollup['unit']
  start: number
  finish: number
}

const TIMES = ['hour', 'day', 'month'] as const

/** The rows of these sums and hours that the query is about, each with the beginning of its group. */
function rowsOf(query: Rest, { months, days, moved, gaps }: Cover): RawBuilder<unknown> {
  const { groups, from } = query
  const filters = filtersOf(query)
  const unit = TIMES.find(each => groups.has(each))
  const groupOf = (time: RawBuilder<unknown>) =>
    unit ? sql`date_trunc(${sql.lit(unit)}, ${time})` : sql`${from}::timestamptz`
  const summed = (of: Rollup['unit'], middle: string, starts: readonly Date[]) =>
    sql`SELECT ${groupOf(sql`t.start + ${sql.lit(middle)}::interval`)} AS start, ${COUNTED} FROM usage_rollups AS t
      WHERE t.unit = ${of} AND t.start = ANY (${starts}::timestamptz[]) ${filters}`
  const ofMoved = (columns: RawBuilder<unknown>) =>
    sql`SELECT ${columns} FROM unnest(${moved.map(({ hour }) => hour)}::timestamptz[], ${moved.map(({ middle }) => middle)}::timestamptz[])
        AS moved (hour, middle) JOIN usage_totals AS t USING (hour)
      WHERE t.hour = ANY (${moved.map(({ hour }) => hour)}::timestamptz[]) ${filters}`
  const parts = [
    ...(months.length > 0 ? [summed('month', '336 hours', months)] : []),
    ...(days.length > 0 ? [summed('day', '12 hours', days)] : []),
    ...gaps.map(
      ({ begin, finish }) => sql`SELECT ${groupOf(sql`t.hour`)} AS start, ${COUNTED} FROM usage_totals AS t
        WHERE t.hour >= ${begin} AND t.hour < ${finish} ${filters}`,
    ),
    ...(moved.length > 0
      ? [
          ofMoved(sql`${groupOf(sql`t.hour`)} AS start, ${COUNTED}`),
          ofMoved(sql`${groupOf(sql`moved.middle`)} AS start, ${TAKEN}`),
        ]
      : []),
  ]
  const nothing = sql`SELECT ${from}::timestamptz AS start, ${COUNTED} FROM usage_totals AS t WHERE false`
  return sql.join(parts.length > 0 ? parts : [nothing], sql` UNION ALL `)
}

function filtersOf(query: Rest): RawBuilder<unknown> {
  const labels = query.label
    ? sql`AND ${'value' in query.label ? sql`t.labels ->> ${query.label.name} = ${query.label.value}` : sql`t.labels ->> ${query.label.name} IS NOT NULL`}`
    : sql``
  const only = (group: keyof typeof COLUMNS) =>
    query[group] === undefined ? sql`` : sql`AND t.${sql.ref(COLUMNS[group])} = ANY (${query[group]}::text[])`
  const later =
    query.tenantFrom === undefined ? sql`` : sql`AND t.tenant_id COLLATE "C" >= ${query.tenantFrom}`
  return sql`${later} ${only('tenant')} ${only('key')} ${only('model')} ${only('reporter')} ${labels}`
}

const NAMES = sql`t.tenant_id, t.key_id, t.model, t.reporter_id`
const COUNTED = sql`${NAMES}, t.requests, t.refused_requests, t.estimated_requests, t.adjusted_requests, t.input_tokens,
  t.cached_input_tokens, t.output_tokens`
const TAKEN = sql`${NAMES}, -t.requests, -t.refused_requests, -t.estimated_requests, -t.adjusted_requests, -t.input_tokens,
  -t.cached_input_tokens, -t.output_tokens`

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
