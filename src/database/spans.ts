import { type RawBuilder, sql } from 'kysely'

/**
 * Filtered lists of a large table. Its rows are numbered in creation order and grouped into spans of 2,048 numbers. A
 * filtered list walks the spans, newest first, and queries an index that begins with the span. So it costs at most a
 * short index lookup per span, and never reads all rows that match, nor all that do not. An index of the filter alone
 * would have to sort all matches; an index of the order alone would have to skip all other rows.
 */
export const SPAN_BITS = 11

/** Numbers from `lowest` to `highest`, both included; undefined: no bound. */
interface Walk {
  table: string
  /** The column with the number: a bigint that only expresses order. */
  place: string
  lowest?: string | number | undefined
  highest?: string | number | undefined
  order: 'ASC' | 'DESC'
  /** Selects rows of one span: `conditions(span)` uses the table's column names. */
  conditions: (span: RawBuilder<bigint>) => RawBuilder<unknown>
  limit: number
}

/** A query for the first `limit` numbers in this order for which the conditions hold. */
export function walkSpans({
  table,
  place,
  lowest,
  highest,
  order,
  conditions,
  limit,
}: Walk): RawBuilder<string> {
  const [from, at] = [sql.table(table), sql.ref(place)]
  const direction = order === 'ASC' ? sql`ASC` : sql`DESC`
  const span = sql<bigint>`span`
  const low = sql`coalesce(${lowest}::bigint, (SELECT min(${at}) FROM ${from}))`
  const high = sql`coalesce(${highest}::bigint, (SELECT max(${at}) FROM ${from}))`
  const bits = sql.lit(SPAN_BITS)
  return sql<string>`
    SELECT place FROM (
      SELECT span FROM generate_series((${low}) >> ${bits}, (${high}) >> ${bits}) AS span ORDER BY span ${direction}
    ) AS spans CROSS JOIN LATERAL (
      SELECT ${at} AS place FROM ${from}
      WHERE ${at} >> ${bits} = span AND ${at} >= span << ${bits} AND ${at} < (span + 1) << ${bits}
        AND ${at} >= ${lowest ?? 0}::bigint AND (${highest}::bigint IS NULL OR ${at} <= ${highest}::bigint)
        AND ${conditions(span)}
      ORDER BY ${at} ${direction} LIMIT ${limit}
    ) AS found ORDER BY span ${direction}, place ${direction} LIMIT ${limit}`
}
