import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Cover, coverOf, MIDDLE_HOURS } from './usage-cover.ts'
import type { UsageQuery, UsageRow } from './usage-report.ts'
import { ROLLUP_UNITS, type Rollup } from './usage-rollup-repository.ts'

const COLUMNS = { tenant: 'tenant_id', key: 'key_id', model: 'model', reporter: 'reporter_id' } as const
type Filter = keyof typeof COLUMNS
const FILTERS = Object.keys(COLUMNS) as Filter[]
/** In the order of the rows. */
const NAMES = [...FILTERS, 'label'] as const
type Name = (typeof NAMES)[number]
const columnOf = (name: Name) => sql.ref(`t.${name === 'label' ? 'label' : COLUMNS[name]}`)

/**
 * At most `limit` sums, after `after`, ordered by start, tenant, key, model, reporter and label. What is not grouped is ''. One row
 * for each combination in which something was counted. `trx` is one snapshot: what is summed in advance is looked up first, so
 * that Postgres plans the sum with the times themselves.
 */
export async function readUsage(
  trx: Handle,
  query: UsageQuery,
  { limit, after }: { limit: number; after: readonly string[] | null },
): Promise<UsageRow[]> {
  const rest = after === null ? query : restOf(query, after)
  const { cover, cuts } = await readCover(trx, rest)
  const names = NAMES.filter(name => query.groups.has(name))
  const named = names.map(name => sql`, ${columnOf(name)} AS ${sql.ref(name)}`)
  const place = sql.join([sql`start`, ...names.map(name => sql`${sql.ref(name)} COLLATE "C"`)])
  // All sums as one text: it costs more to receive thousands of rows of seven columns than to sum them.
  const { rows } = await sql<Sums>`
    SELECT extract(epoch FROM start)::float8 AS seconds, ${sql.join([...names.map(name => sql.ref(name)), SUMS_AS_TEXT])}
    FROM (
      SELECT ${startOf(query, cuts)} AS start${sql.join(named, sql``)}, ${SUMS}
      FROM (${rowsOf(rest, cover)}) AS t GROUP BY ${sql.join([0, ...names].map((_, index) => sql.lit(index + 1)))}
    ) AS read
    WHERE (requests <> 0 OR refused_requests <> 0 OR adjusted_requests <> 0)
      ${after === null ? sql`` : sql`AND (${place}) > (${placeOf(after, names)})`}
    ORDER BY ${place} LIMIT ${limit}`.execute(trx)
  return rows.map(toRow)
}

/** What a page after this row needs: the group of time that it was in, and later ones; or its tenant, and later ones. */
function restOf(query: UsageQuery, [start = '', tenant = '']: readonly string[]): Rest {
  const begun = new Date(start)
  if (unitOf(query)) return begun > query.from ? { ...query, from: begun } : query
  return query.groups.has('tenant') ? { ...query, tenantFrom: tenant } : query
}

interface Rest extends UsageQuery {
  tenantFrom?: string
}

/** The last row of the page before, as `start` and the names that are grouped. */
function placeOf(after: readonly string[], names: readonly Name[]): RawBuilder<unknown> {
  const values = names.map(name => sql`${after[NAMES.indexOf(name) + 1] ?? ''}::text`)
  return sql.join([sql`${after[0] ?? ''}::timestamptz`, ...values])
}

const TIMES = ['hour', 'day', 'month'] as const
const unitOf = ({ groups }: UsageQuery) => TIMES.find(each => groups.has(each))

/** The beginning of the group that `t.at` is in. */
function startOf(query: UsageQuery, cuts: readonly Date[]): RawBuilder<unknown> {
  const unit = unitOf(query)
  if (unit === undefined) return sql`${query.from}::timestamptz`
  return unit === 'hour'
    ? sql`t.at`
    : sql`(${cuts}::timestamptz[])[width_bucket(t.at, ${cuts}::timestamptz[])]`
}

/**
 * For the rest of the transaction: a sum is not worth compiling, its groups fit into memory, and only one from hundreds of thousands of
 * hours is worth the start of other processes, which take their time from exchanges. The zone is that of the query, so an unknown one is
 * rejected.
 */
const settingsFor = (timeZone: string) =>
  sql`set_config('jit', 'off', true), set_config('work_mem', '64MB', true), set_config('parallel_setup_cost', '100000', true), set_config('TimeZone', ${timeZone}, true)`

/** What is summed in advance in the range, and the times at which groups of days and months begin there. */
async function readCover(trx: Handle, query: UsageQuery): Promise<{ cover: Cover; cuts: Date[] }> {
  const { from, to, timeZone } = query
  const unit = unitOf(query)
  const { rows } = await sql<{ cuts: Date[]; summed: SummedRow[] }>`
    SELECT ${settingsFor(timeZone)},
      ARRAY(${unit === undefined || unit === 'hour' ? sql`SELECT NULL::timestamptz WHERE false` : cutsOf(unit, query)}) AS cuts,
      (SELECT coalesce(json_agg(json_build_object('unit', unit, 'start', extract(epoch FROM start),
          'finish', extract(epoch FROM finish)) ORDER BY start), '[]')
        FROM usage_rolled WHERE start >= ${from} AND finish <= ${to} AND ${unit !== 'hour'}) AS summed`.execute(
    trx,
  )
  const [{ cuts, summed } = { cuts: [], summed: [] }] = rows
  const rollups = summed.map(({ start, finish, ...each }) => ({
    ...{ ...each, start: new Date(start * 1000), finish: new Date(finish * 1000) },
  }))
  return { cover: coverOf({ from, to }, rollups, cuts), cuts }
}

/**
 * The beginnings of all groups in which something was counted, in order. Where clocks are set back at midnight, the day begins with
 * the first of its two hours of this name.
 */
function cutsOf(unit: 'day' | 'month', { from, to, timeZone }: UsageQuery): RawBuilder<unknown> {
  const local = (time: RawBuilder<unknown>) => sql`(${time} AT TIME ZONE ${timeZone}::text)`
  const hourBefore = sql`${local(sql`begin`)} - interval '1 hour'`
  return sql`
    SELECT CASE WHEN ${local(sql`(${hourBefore})`)} >= begin THEN ${hourBefore} ELSE ${local(sql`begin`)} END AS cut
    FROM (SELECT greatest(min(hour), ${from}::timestamptz) AS first, least(max(hour), ${to}::timestamptz) AS last
        FROM usage_totals HAVING min(hour) IS NOT NULL) AS counted,
      generate_series(date_trunc(${sql.lit(unit)}, ${local(sql`first`)}), ${local(sql`last`)}, ${sql.lit(`1 ${unit}`)}::interval) AS begin
    ORDER BY cut`
}

/** In epoch seconds. */
interface SummedRow {
  unit: Rollup['unit']
  start: number
  finish: number
}

/** The rows of these sums and hours that the query is about, each with a time in its group. */
function rowsOf(query: Rest, { starts, moved, gaps }: Cover): RawBuilder<unknown> {
  const filters = filtersOf(query)
  const { counted, taken } = columnsOf(query)
  const ofMoved = (columns: RawBuilder<unknown>) =>
    sql`SELECT ${columns} FROM unnest(${moved.map(({ hour }) => hour)}::timestamptz[], ${moved.map(({ middle }) => middle)}::timestamptz[])
        AS moved (hour, middle) JOIN usage_totals AS t USING (hour)
      WHERE t.hour = ANY (${moved.map(({ hour }) => hour)}::timestamptz[]) ${filters}`
  const parts = [
    ...ROLLUP_UNITS.filter(unit => starts[unit].length > 0).map(
      unit => sql`SELECT t.start + ${sql.lit(`${MIDDLE_HOURS[unit]} hours`)}::interval AS at, ${counted} FROM usage_rollups AS t
        WHERE t.unit = ${unit} AND t.start = ANY (${starts[unit]}::timestamptz[]) ${filters}`,
    ),
    ...gaps.map(
      ({ begin, finish }) => sql`SELECT t.hour AS at, ${counted} FROM usage_totals AS t
        WHERE t.hour >= ${begin} AND t.hour < ${finish} ${filters}`,
    ),
    ...(moved.length > 0
      ? [ofMoved(sql`t.hour AS at, ${counted}`), ofMoved(sql`moved.middle AS at, ${taken}`)]
      : []),
  ]
  const nothing = sql`SELECT t.hour AS at, ${counted} FROM usage_totals AS t WHERE false`
  return sql.join(parts.length > 0 ? parts : [nothing], sql` UNION ALL `)
}

function filtersOf(query: Rest): RawBuilder<unknown> {
  const labels = query.label
    ? sql`AND ${'value' in query.label ? sql`t.labels ->> ${query.label.name} = ${query.label.value}` : sql`t.labels ->> ${query.label.name} IS NOT NULL`}`
    : sql``
  const only = (name: Filter) =>
    query[name] === undefined ? sql`` : sql`AND t.${sql.ref(COLUMNS[name])} = ANY (${query[name]}::text[])`
  const later =
    query.tenantFrom === undefined ? sql`` : sql`AND t.tenant_id COLLATE "C" >= ${query.tenantFrom}`
  return sql`${later} ${sql.join(FILTERS.map(only), sql` `)} ${labels}`
}

/** In the order in which `toRow` reads them. */
const COUNTS = [
  ...['requests', 'refused_requests', 'estimated_requests', 'adjusted_requests'],
  ...['input_tokens', 'cached_input_tokens', 'output_tokens'],
]
const ofCounts = (of: (count: RawBuilder<unknown>) => RawBuilder<unknown>) =>
  sql.join(COUNTS.map(count => of(sql.ref(count))))
const ROW_NAMES = sql`t.tenant_id, t.key_id, t.model, t.reporter_id`

/** Of a row that is added, and of one that is taken away. */
function columnsOf({ labelName }: UsageQuery): Record<'counted' | 'taken', RawBuilder<unknown>> {
  const label =
    labelName === undefined ? sql`` : sql`, coalesce(t.labels ->> ${labelName}::text, '') AS label`
  const names = sql`${ROW_NAMES}${label}`
  return {
    counted: sql`${names}, ${ofCounts(count => sql`t.${count}`)}`,
    taken: sql`${names}, ${ofCounts(count => sql`-t.${count}`)}`,
  }
}

const SUMS = ofCounts(count => sql`sum(t.${count}) AS ${count}`)
const SUMS_AS_TEXT = sql`concat_ws(' ', ${ofCounts(count => count)}) AS sums`

interface Sums extends Partial<Record<Name, string>> {
  seconds: number
  sums: string
}

function toRow({
  seconds,
  sums,
  tenant = '',
  key = '',
  model = '',
  reporter = '',
  label = '',
}: Sums): UsageRow {
  const counts = sums.split(' ')
  return {
    start: new Date(seconds * 1000),
    tenant,
    key,
    model,
    reporter,
    label,
    requests: Number(counts[0]),
    refusedRequests: Number(counts[1]),
    estimatedRequests: Number(counts[2]),
    adjustedRequests: Number(counts[3]),
    inputTokens: Number(counts[4]),
    cachedInputTokens: Number(counts[5]),
    outputTokens: Number(counts[6]),
  }
}
