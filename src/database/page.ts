/** One page of a list, newest first. */
export interface Page<T> {
  items: T[]
  /** The place after the last item, null at the end. Opaque to callers of the API. */
  next: string | null
}

export interface PageRequest {
  limit: number
  /** The `next` of the page before; items older than it follow. */
  after: string | null
}

/** Cuts rows that were read with `limit + 1` into a page. `seq` is the row's place in creation order. */
export function toPage<Row extends { seq: string }, T>(
  rows: readonly Row[],
  limit: number,
  map: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit)
  return { items: shown.map(map), next: rows.length > limit ? (shown.at(-1)?.seq ?? null) : null }
}
