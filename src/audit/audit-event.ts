import type { Handle } from '../database/database.ts'
import type { Precondition } from '../database/version.ts'

/** The author of a change, and where the request came from. */
export interface Actor {
  /** `root`, `system`, or an admin token's id. */
  id: string
  /** Set for an author who is bound to one tenant. */
  tenantId?: string
  requestId?: string
  /** Address of the caller. */
  source?: string
  /** Set for a request that may be repeated: it is executed once. */
  once?: Once
  /**
   * Set for an author whose credential can be revoked: keeps it valid until the end of the transaction. Once a revocation
   * is committed, nothing commits that was begun with the revoked credential. @throws {Forbidden} when it is not valid.
   */
  hold?: (trx: Handle) => Promise<void>
  /** Set for a request that changes a certain version of its target, or nothing. */
  precondition?: Precondition
}

/** Takes part in the transaction of a change: at its beginning, and with the first event at its end. */
export interface Once {
  begin(trx: Handle): Promise<void>
  end(trx: Handle, first: AuditEvent | undefined): Promise<void>
}

/** Both take part, each if there is one. */
export const inTurn = (...both: readonly (Once | undefined)[]): Once => ({
  begin: async trx => {
    for (const one of both) await one?.begin(trx)
  },
  end: async (trx, first) => {
    for (const one of both) await one?.end(trx, first)
  },
})

export const SYSTEM: Actor = { id: 'system' }

type Value = string | number | boolean | null | readonly Value[] | { readonly [name: string]: Value }

/** The previous and new value of each field. `undefined` on one side: the field did not exist. */
export type FieldChanges = Record<string, { from?: Value; to?: Value }>

export interface AuditEvent {
  action: `${string}.${string}`
  targetKind: string
  targetId: string
  tenantId?: string
  /** Default: the author of the change. */
  by?: Actor
  /** Default: done. */
  outcome?: 'done' | 'refused'
  changes: FieldChanges
}

/** The fields in which two values differ, dates as RFC 3339 text. Neither value may contain a secret. */
export function fieldChanges(before: object | undefined, after: object | undefined): FieldChanges {
  const from = plain(before)
  const to = plain(after)
  const changes: FieldChanges = {}
  for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
    if (JSON.stringify(from[name]) === JSON.stringify(to[name])) continue
    changes[name] = {
      ...(from[name] !== undefined && { from: from[name] }),
      ...(to[name] !== undefined && { to: to[name] }),
    }
  }
  return changes
}

function plain(value: object | undefined): Record<string, Value> {
  return value === undefined ? {} : JSON.parse(JSON.stringify(value))
}
