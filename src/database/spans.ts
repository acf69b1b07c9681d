import { type RawBuilder, sql } from 'kysely'

/**
 * Rows of a large table that has a place for each in the order of creation, by spans of 2,048 neighbouring places. A
 * filtered list walks them, newest span first, and in each asks an index that begins with the span: so it costs at most
 * a short look at each span, and never reads all rows that match, nor all that do not. An index of the filter alone has
 * to sort all that match; the order alone, to pass over all that do not.
 */
export const SPAN_BITS = 11

/** Places from `lowest` to `highest`, both included; undefined: as far as there are rows. */
interface Walk {
  table: string
  /** The column of the place: a bigint without meaning but its order. */
  place: string
  lowest?: string | number | undefined
  highest?: string | number | undefined
  order: 'ASC' | 'DESC'
  /** For the rows of one span: `conditions(span)` names the columns of the table as they are. */
  conditions: (span: RawBuilder<bigint>) => RawBuilder<unknown>
  limit: number
}

/** A query for the first `limit` places in this order at which the conditions hold. */
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
