import type { Handle } from '../database/database.ts'
import type { Precondition } from '../database/version.ts'

/** Who asked for a change, and how it reached us. */
export interface Actor {
  /** `root`, `system`, or an admin token's id. */
  id: string
  requestId?: string
  /** Address of the caller. */
  source?: string
  /** For a request that may come again: it is done once. */
  once?: Once
  /** For a request that shall change a certain version of its target, or nothing. */
  precondition?: Precondition
}

/** Takes part in the transaction of a change: at its beginning, and with its first event at its end. */
export interface Once {
  begin(trx: Handle): Promise<void>
  end(trx: Handle, first: AuditEvent | undefined): Promise<void>
}

export const SYSTEM: Actor = { id: 'system' }

type Value = string | number | boolean | null | readonly Value[] | { readonly [name: string]: Value }

/** Field by field, what was and what is now. `undefined` on a side: the field was not there. */
export type FieldChanges = Record<string, { from?: Value; to?: Value }>

export interface AuditEvent {
  action: `${string}.${string}`
  targetKind: string
  targetId: string
  tenantId?: string
  /** Left out: whoever asked for the change. */
  by?: Actor
  /** Left out: done. */
  outcome?: 'done' | 'refused'
  changes: FieldChanges
}

/** The fields in which two values differ, dates as RFC 3339 text. Neither may hold a secret. */
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
