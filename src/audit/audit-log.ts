import type { Change } from '../database/change.ts'
import { appendChanges } from '../database/change-feed.ts'
import type { Database, Handle } from '../database/database.ts'
import { requireVersion } from '../database/version.ts'
import { chained } from './audit-chain.ts'
import type { Actor, AuditEvent } from './audit-event.ts'
import { appendRows, lockHead } from './audit-event-repository.ts'

/** A change in progress: events recorded here are written before it commits. */
export interface Mutation {
  trx: Handle
  /**
   * Reports the version of the target, once it is locked and before it is changed; undefined: it does not exist.
   * @throws {PreconditionFailed}
   */
  found(version: string | undefined): void
  /** Records what was done, for the audit trail, and the objects that replicas must read again. */
  record(event: AuditEvent, ...changes: Change[]): void
}

/**
 * audit/ owns the only way to change anything: `mutate` runs the work in a transaction and ends with the feed row and
 * the audit rows, all or nothing. Work that changed nothing records nothing. It returns when this process has applied
 * the change itself. The rows of the trail form a hash chain: docs/decisions/0011-audit-chain.md.
 */
export async function mutate<T>(
  database: Database,
  actor: Actor,
  work: (mutation: Mutation) => Promise<T>,
): Promise<T> {
  const { done, changes } = await database.write(async trx => {
    const changes: Change[] = []
    const events: AuditEvent[] = []
    const { precondition } = actor
    let checked = precondition === undefined
    await actor.hold?.(trx)
    await actor.once?.begin(trx)
    const result = await work({
      trx,
      found: version => {
        if (precondition) requireVersion(precondition, version)
        checked = true
      },
      record: (event, ...changed) => {
        events.push(event)
        changes.push(...changed)
      },
    })
    if (!checked) throw new Error('a change did not name the version of its object')
    await actor.once?.end(trx, events[0])
    if (changes.length > 0) await appendChanges(trx, changes)
    if (events.length > 0) await appendEvents(trx, actor, events)
    return { done: result, changes }
  })
  if (changes.length > 0) await database.committed(changes)
  return done
}

/** Last in a transaction: the lock that the feed or this function takes serializes the chaining of rows. */
async function appendEvents(trx: Handle, actor: Actor, events: readonly AuditEvent[]): Promise<void> {
  const { head, at } = await lockHead(trx)
  await appendRows(trx, chained(head, at, actor, events))
}
