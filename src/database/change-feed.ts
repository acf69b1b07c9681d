import { sql } from 'kysely'
import type { Change } from './change.ts'
import type { Handle } from './database.ts'

/**
 * The last change that a replica has read. Each row also has a random id, because after a failover or a restore another
 * row may have the same number.
 */
export interface FeedPosition {
  number: string
  id: string
}

/** The channel that wakes replicas. Correctness does not depend on it, because a pooler may drop notifications. */
export const CHANGE_CHANNEL = 'mintmark_changes'

/**
 * Takes the next number from the one-row counter, inserts the changes and notifies, in one statement. The counter's row
 * lock is held until the commit, which must follow at once, so commit order is number order.
 */
export async function appendChanges(trx: Handle, changes: readonly Change[]): Promise<void> {
  await sql`
    WITH next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
    INSERT INTO change_feed (number, changes) SELECT number, ${JSON.stringify(changes)}::jsonb FROM next
    RETURNING pg_notify(${CHANGE_CHANNEL}, number::text)`.execute(trx)
}

/** The channel of messages between replicas. Every role of the database can read and send them. */
export const MESSAGE_CHANNEL = 'mintmark_messages'
/** Postgres accepts fewer than 8,000 bytes. */
export const LONGEST_MESSAGE_BYTES = 7_999

/** Wakes the listeners of the channel, with a text for them. */
export async function notify(db: Handle, channel: string, text = ''): Promise<void> {
  await sql`SELECT pg_notify(${channel}, ${text})`.execute(db)
}

/** The newest position of the feed. */
export async function feedEnd(db: Handle): Promise<FeedPosition> {
  return db
    .selectFrom('change_feed')
    .select(['number', 'id'])
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow()
}

export const samePosition = (a: FeedPosition, b: FeedPosition): boolean =>
  a.number === b.number && a.id === b.id

/** The feed after a position: each object once, ordered by its first change. */
export interface FeedPage {
  changes: Change[]
  /** The last row that was read. */
  position: FeedPosition
  /** There may be rows after it. */
  more: boolean
}

/**
 * At most `limit` rows of the feed, beginning with the row of `position` itself. Undefined when the first row is
 * another: the position is lost, because the feed was pruned, failed over or restored.
 */
export async function feedAfter(
  db: Handle,
  position: FeedPosition,
  limit: number,
): Promise<FeedPage | undefined> {
  const { rows } = await sql<FeedPosition & { changes: Change[] }>`
    SELECT number, id, changes FROM change_feed
    WHERE number >= ${position.number}::bigint ORDER BY number LIMIT ${limit}`.execute(db)
  const [own, ...later] = rows
  if (!own || !samePosition(own, position)) return undefined
  const byName = new Map<string, Change>()
  for (const change of later.flatMap(({ changes }) => changes)) {
    const name = `${change.kind} ${change.id}`
    if (!byName.has(name)) byName.set(name, change)
  }
  const last = later.at(-1) ?? own
  return {
    changes: [...byName.values()],
    position: { number: last.number, id: last.id },
    more: rows.length >= limit,
  }
}

/** Deletes rows older than a day, but never the newest. Returns the number of deleted rows. */
export async function pruneChangeFeed(db: Handle): Promise<number> {
  const { rows } = await sql<{
    pruned: string
  }>`SELECT prune_change_feed(interval '1 day') AS pruned`.execute(db)
  return Number(rows[0]?.pruned ?? 0)
}
