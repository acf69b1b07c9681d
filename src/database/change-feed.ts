import { sql } from 'kysely'
import type { Handle } from './database.ts'

/** What a replica must read again: one object of the directory, named by its kind and id. */
export interface Change {
  kind: 'tier' | 'model' | 'tenant' | 'key' | 'signing-keys' | 'installation'
  id: string
}

/** The channel that wakes replicas; they must be right without it, because a pooler may swallow it. */
export const CHANGE_CHANNEL = 'mintmark_changes'

/**
 * Ends a mutating transaction: takes the next number from the one-row counter, inserts what changed and notifies, in
 * one statement. The counter's row lock is held until the commit that follows, so commit order is number order.
 */
export async function appendChanges(trx: Handle, changes: readonly Change[]): Promise<void> {
  await sql`
    WITH next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
    INSERT INTO change_feed (number, changes) SELECT number, ${JSON.stringify(changes)}::jsonb FROM next
    RETURNING pg_notify(${CHANGE_CHANNEL}, number::text)`.execute(trx)
}

/** Lets rows older than a day go, never the newest. Returns how many went. */
export async function pruneChangeFeed(db: Handle): Promise<number> {
  const { rows } = await sql<{
    pruned: string
  }>`SELECT prune_change_feed(interval '1 day') AS pruned`.execute(db)
  return Number(rows[0]?.pruned ?? 0)
}
