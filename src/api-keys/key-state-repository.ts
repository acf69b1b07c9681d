import { type RawBuilder, sql } from 'kysely'

/**
 * The rule of key-state.ts in SQL, as of now(), the beginning of the transaction. `table` is the table's name in the
 * query.
 */

/** A key that is active or disabled, or an admin token that is active. */
export const isUsable = (table: string): RawBuilder<boolean> =>
  sql`(${sql.ref(`${table}.revoked_at`)} IS NULL AND ${isNotOver(`${table}.expires_at`)})`

/** A secret that is live or ending, unless its key has ended. */
export const isUsableSecret = (table: string): RawBuilder<boolean> =>
  sql`(${sql.ref(`${table}.revoked_at`)} IS NULL AND ${isNotOver(`${table}.ends_at`)})`

const isNotOver = (end: string) => sql`(${sql.ref(end)} IS NULL OR ${sql.ref(end)} > now())`

/** A usable key that ends within the interval. `end` is a range, so that an index applies. */
export const endsWithin = (table: string, interval: string): RawBuilder<boolean> => {
  const end = sql.ref(`${table}.expires_at`)
  return sql`(${sql.ref(`${table}.revoked_at`)} IS NULL
    AND ${end} > now() AND ${end} <= now() + ${interval}::interval)`
}
