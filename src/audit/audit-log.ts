import type { Change } from '../database/change.ts'
import { appendChanges } from '../database/change-feed.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Actor, AuditEvent } from './audit-event.ts'

/** A change under way: what it did is noted here and written before it commits. */
export interface Mutation {
  trx: Handle
  /** Notes what was done, for the audit trail, and what replicas must read again. */
  record(event: AuditEvent, ...changes: Change[]): void
}

/**
 * audit/ owns the one way to change anything: `mutate` runs the work in a transaction, writes an audit row for each
 * thing it noted and ends with the feed row, all or nothing. Work that changed nothing notes nothing. It returns when
 * this process has applied the change itself.
 */
export async function mutate<T>(
  database: Database,
  actor: Actor,
  work: (mutation: Mutation) => Promise<T>,
): Promise<T> {
  const changes: Change[] = []
  const done = await database.write(async trx => {
    const events: AuditEvent[] = []
    await actor.once?.begin(trx)
    const result = await work({
      trx,
      record: (event, ...changed) => {
        events.push(event)
        changes.push(...changed)
      },
    })
    if (events.length > 0) await insertAuditEvents(trx, actor, events)
    await actor.once?.end(trx, events[0])
    if (changes.length > 0) await appendChanges(trx, changes)
    return result
  })
  if (changes.length > 0) await database.committed(changes)
  return done
}

async function insertAuditEvents(trx: Handle, actor: Actor, events: readonly AuditEvent[]): Promise<void> {
  const rows = events.map(event => ({
    actor: actor.id,
    action: event.action,
    target_kind: event.targetKind,
    target_id: event.targetId,
    tenant_id: event.tenantId ?? null,
    request_id: actor.requestId ?? null,
    source: actor.source ?? null,
    changes: JSON.stringify(event.changes),
  }))
  await trx.insertInto('audit_events').values(rows).execute()
}
