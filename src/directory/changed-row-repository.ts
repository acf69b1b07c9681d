import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { RecordedIds } from '../installation/row-seals.ts'

/** Which rows to read: at most `limit`, by id, after one. */
export interface ChangedRows {
  writtenSince: string | null
  known: readonly string[]
  after: string
  limit: number
}

/** A page of rows, read together with what their seals are verified by. */
export interface ChangedPage<Row> {
  rows: Row[]
  recorded: RecordedIds
  /** The oldest transaction that was open: rows of older ones are visible. */
  openSince: string
  /** The id after which the next page begins; null: this is the last. */
  last: string | null
}

/**
 * Rows that were written by transaction `writtenSince` or a later one, and the `known` ones. With null, and after the
 * server's transaction counter went back (a failover, a restore), all of them. An old row may be among them too: `age`
 * compares 32 bits. `select`: a query of JSON objects with an `id` as `listed`, with a condition on the table `alias`.
 */
export async function readChangedRows<Row extends { id: string }>(
  db: Handle,
  { writtenSince, known, after, limit }: ChangedRows,
  select: (isChanged: (alias: string) => RawBuilder<unknown>) => RawBuilder<unknown>,
): Promise<ChangedPage<Row>> {
  const isChanged = (alias: string) => {
    const [id, xmin] = [sql.ref(`${alias}.id`), sql.ref(`${alias}.xmin`)]
    return sql`${id} > ${after} AND (${id} = ANY (${[...known]}::text[])
      OR ${writtenSince}::text IS NULL OR ${writtenSince}::text::xid8 > clock.open_since
      OR age(${xmin}) <= age(${writtenSince}::text::xid8::xid))`
  }
  const { rows } = await sql<{
    open_since: string
    encryption_keys: string[]
    peppers: string[]
    current: RecordedIds['current'] | null
    listed: Row[]
  }>`
    WITH clock AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS open_since)
    SELECT clock.open_since::text AS open_since,
      (SELECT array_agg(name) FROM installation, jsonb_object_keys(encryption_key_checks) AS name) AS encryption_keys,
      (SELECT array_agg(name) FROM installation, jsonb_object_keys(pepper_checks) AS name) AS peppers,
      (SELECT json_build_object('encryptionKey', current_encryption_key, 'pepper', current_pepper) FROM installation) AS current,
      (SELECT coalesce(json_agg(one.listed), '[]') FROM (${select(isChanged)}) AS one) AS listed
    FROM clock`.execute(db)
  const row = rows[0]
  if (!row) throw new Error('a query that has one row had none')
  const { listed, encryption_keys, peppers, current, open_since: openSince } = row
  return {
    rows: listed,
    recorded: {
      encryptionKeys: encryption_keys ?? [],
      peppers: peppers ?? [],
      current: current ?? undefined,
    },
    openSince,
    last: listed.length < limit ? null : (listed.at(-1)?.id ?? null),
  }
}
