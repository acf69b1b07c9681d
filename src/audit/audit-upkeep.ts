import type { Database } from '../database/database.ts'
import type { Clock } from '../system/clock.ts'
import type { AuditRow } from './audit-chain.ts'
import { chainEnds, pruneRows, readCheckpoints, readRows } from './audit-event-repository.ts'
import { mutate } from './audit-log.ts'
import type { SignedHead } from './audit-retention.ts'
import { type Verification, verifyTrail } from './audit-verification.ts'

/** Manual operations on the trail, directly on the database. */

/** Bounds the time of one query. */
const ROWS_A_READ = 2_000
const ROWS_A_PRUNING = 5_000

/** The signed checkpoints in the database. */
export const keptCheckpoints = (database: Database): Promise<string[]> => database.run(readCheckpoints)

/**
 * Verifies the trail of a database against its own head and cut, and against `checkpoints`. `clock` is independent of
 * the database.
 */
export async function verifyDatabase(
  database: Database,
  checkpoints: readonly SignedHead[],
  clock: Pick<Clock, 'wallMs'>,
): Promise<Verification> {
  const { cut, head, lastId } = await database.run(chainEnds)
  const expected = { begin: cut, head, checkpoints, now: clock.wallMs() }
  return verifyTrail(rowsOf(database, cut.id, lastId), expected)
}

async function* rowsOf(database: Database, begin: number, upTo: number): AsyncGenerator<AuditRow> {
  // Also finds rows that were inserted before the beginning.
  let after = Math.min(begin, 0) - 1
  for (;;) {
    const place = { after, upTo }
    const rows = await database.run(db => readRows(db, place, ROWS_A_READ))
    yield* rows
    const last = rows.at(-1)
    if (!last) return
    after = last.id
  }
}

/**
 * Deletes rows older than so many days (ninety at least), as the owner of the tables, and records it in a row. Returns
 * the number of deleted rows.
 */
export async function pruneTrail(database: Database, olderThanDays: number): Promise<number> {
  let total = 0
  for (;;) {
    const { pruned } = await mutate(database, { id: 'owner' }, async ({ trx, record }) => {
      const done = await pruneRows(trx, { olderThanDays, most: ROWS_A_PRUNING })
      const changes = { upTo: { to: done.cut.id }, hash: { to: done.cut.hash }, rows: { to: done.pruned } }
      if (done.pruned > 0) record({ action: 'audit.prune', targetKind: 'audit', targetId: 'trail', changes })
      return done
    })
    total += pruned
    if (pruned < ROWS_A_PRUNING) return total
  }
}
