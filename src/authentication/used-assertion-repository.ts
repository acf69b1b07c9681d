import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/** Remembers an assertion until it expires, in epoch milliseconds. False: it was used before, by any replica. */
export async function useInDatabase(db: Handle, digest: Buffer, expiresAt: number): Promise<boolean> {
  const until = sql`to_timestamp(${expiresAt / 1000}::float8)`
  // A second statement for the same row waits for the first one, and then finds its row.
  const { rows } = await sql`INSERT INTO used_assertions (digest, expires_at) VALUES (${digest}, ${until})
    ON CONFLICT (digest) DO UPDATE SET expires_at = excluded.expires_at
    WHERE used_assertions.expires_at < clock_timestamp() RETURNING 1`.execute(db)
  return rows.length > 0
}

/** Deletes those that expired. Bounded: the next run continues. */
export async function pruneUsedAssertions(db: Handle): Promise<void> {
  await sql`DELETE FROM used_assertions WHERE digest IN (
    SELECT digest FROM used_assertions WHERE expires_at < clock_timestamp() LIMIT 10000)`.execute(db)
}
