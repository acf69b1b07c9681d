import type { Database } from '../database/database.ts'
import { Coalescer } from '../system/coalescer.ts'
import { networkOf } from '../system/ip-address.ts'
import { WriteBuffer } from '../system/write-buffer.ts'
import type { Actor, AuditEvent } from './audit-event.ts'
import { mutate } from './audit-log.ts'

/** A refused request: the administrator lacks a right, the credential is not valid, or an assertion was refused. */
export interface Refused {
  action: 'authorization.refuse' | 'login.refuse' | 'exchange.refuse'
  by: Actor
  /** `POST /admin/v1/tenants`: the pattern of the route. */
  operation: string
  reason: string
}

interface Counted extends Refused {
  count: number
}

/** Maximum number of distinct refusals of each action that are buffered. */
const ROOM = 1_000
/** Maximum number of rows per action and flush, however many refusals there were. */
const MOST_ROWS = 20

/**
 * Buffers refusals for the audit trail. Repeated ones become one row with a count, written a few seconds later, so a
 * flood of a thousand per second neither fills the trail nor holds its lock. Failed logins, missing rights and assertions have
 * separate buffers, so that anonymous callers cannot evict refusals of administrators.
 */
export class AuditedRefusals {
  readonly #logins: WriteBuffer<Counted>
  readonly #authorizations: WriteBuffer<Counted>
  readonly #exchanges: WriteBuffer<Counted>
  readonly #writes = new Coalescer(async () => {
    await this.#authorizations.flush()
    await this.#logins.flush()
    await this.#exchanges.flush()
  })

  constructor({ database }: { database: Database }) {
    this.#logins = buffer(database)
    this.#authorizations = buffer(database)
    this.#exchanges = buffer(database)
  }

  note(refused: Refused): void {
    this.#bufferOf(refused).add({ ...refused, count: 1 })
  }

  #bufferOf({ action }: Refused): WriteBuffer<Counted> {
    if (action === 'exchange.refuse') return this.#exchanges
    return action === 'login.refuse' ? this.#logins : this.#authorizations
  }

  /** Writes what is buffered; writes that fail stay in the buffer. @throws {Unavailable} */
  async flush(): Promise<void> {
    if (this.#authorizations.size + this.#logins.size + this.#exchanges.size > 0) await this.#writes.run()
  }
}

function buffer(database: Database): WriteBuffer<Counted> {
  return new WriteBuffer({
    room: ROOM,
    name: ({ action, by, operation, reason }) =>
      // Of failed logins only the source is recorded: the rest of the request is arbitrary.
      JSON.stringify([
        action,
        by.id,
        networkOf(by.source ?? ''),
        action === 'login.refuse' || operation,
        reason,
      ]),
    merge: (older, newer) => ({ ...older, count: older.count + newer.count }),
    write: async batch => {
      await mutate(database, { id: 'system' }, async ({ record }) => {
        for (const event of eventsOf(batch)) record(event)
      })
      return []
    },
  })
}

function eventsOf(batch: readonly Counted[]): AuditEvent[] {
  const listed = batch.slice(0, MOST_ROWS)
  const others = batch.slice(MOST_ROWS)
  const events = listed.map(({ action, by, operation, reason, count }) =>
    refusal(action, operation, by, { reason: { to: reason }, count: { to: count } }),
  )
  if (others.length === 0) return events
  const count = others.reduce((sum, each) => sum + each.count, 0)
  const changes = { count: { to: count }, different: { to: others.length } }
  const action = others[0]?.action ?? 'login.refuse'
  return [...events, refusal(action, 'others', { id: 'unknown' }, changes)]
}

const refusal = (
  action: Refused['action'],
  targetId: string,
  by: Actor,
  changes: AuditEvent['changes'],
): AuditEvent => ({ action, targetKind: 'operation', targetId, by, outcome: 'refused', changes })
