import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** How often it is looked. */
const EVERY_MS = 25

/** Sessions of one database that waited for a lock. */
export interface LockWaits {
  looked: number
  /** Looks at which a statement that matches `pruning` waited, and those at which another one did. */
  pruning: number
  others: number
  /** The longest wait of all that was seen, in milliseconds. */
  longestMs: number
}

/** Looks at Postgres until `work` is done. */
export async function lockWaitsDuring(
  url: string,
  pruning: RegExp,
  work: () => Promise<unknown>,
): Promise<LockWaits> {
  const client = new pg.Client({ connectionString: url, application_name: 'lock-waits' })
  await client.connect()
  const waits: LockWaits = { looked: 0, pruning: 0, others: 0, longestMs: 0 }
  let over = false
  const looking = (async () => {
    while (!over) {
      const { rows } = await client.query<{ query: string; ms: number }>(WAITING)
      waits.looked++
      for (const { query, ms } of rows) {
        if (pruning.test(query)) waits.pruning++
        else waits.others++
        waits.longestMs = Math.max(waits.longestMs, ms)
      }
      await sleep(EVERY_MS)
    }
  })()
  try {
    await work()
  } finally {
    over = true
    await looking
    await client.end()
  }
  return waits
}

const WAITING = `
  SELECT a.query, extract(epoch FROM clock_timestamp() - l.waitstart)::float8 * 1000 AS ms
  FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
  WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.datname = current_database()`
