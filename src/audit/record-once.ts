import type { Database } from '../database/database.ts'
import type { Actor, AuditEvent } from './audit-event.ts'
import { lockHead, readRows } from './audit-event-repository.ts'
import { mutate } from './audit-log.ts'

/** Records an event that happened outside the database, unless the trail has one with the same action and target. */
export async function recordOnce(database: Database, actor: Actor, event: AuditEvent): Promise<void> {
  const filter = { action: event.action, target: event.targetId }
  const newest = { before: null }
  if ((await database.run(db => readRows(db, newest, 1, filter))).length > 0) return
  await mutate(database, actor, async ({ trx, record }) => {
    // Another process may be about to record it.
    await lockHead(trx)
    if ((await readRows(trx, newest, 1, filter)).length === 0) record(event)
  })
}
