/** One page of a list, newest first. */
export interface Page<T> {
  items: T[]
  /** The cursor after the last item, null at the end. Opaque to API clients. */
  next: string | null
}

export interface PageRequest {
  limit: number
  /** The `next` of the previous page; older items follow. */
  after: string | null
}

/** Makes a page of rows that were read with `limit + 1`. `seq` is the row's position in creation order. */
export function toPage<Row extends { seq: string }, T>(
  rows: readonly Row[],
  limit: number,
  map: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit)
  return { items: shown.map(map), next: rows.length > limit ? (shown.at(-1)?.seq ?? null) : null }
}
