import { createHash } from 'node:crypto'
import type { Actor, AuditEvent, FieldChanges } from './audit-event.ts'

/**
 * One row of the trail as exported and hashed: an export can be verified with any JSON library and any SHA-256. The
 * names are wire names, because they are hashed.
 */
export interface AuditRow {
  /** The position in the chain: 1, 2, 3 and so on, without gaps. */
  id: number
  /** RFC 3339, UTC, with microseconds. */
  at: string
  actor: string
  action: string
  outcome: 'done' | 'refused'
  target_kind: string
  target_id: string
  tenant: string | null
  request_id: string | null
  source: string | null
  changes: FieldChanges
  /** Hex, as `hash`. */
  previous_hash: string
  /** SHA-256 of the row without this member, as JSON in the canonical form of RFC 8785. */
  hash: string
}

/** The last row of a chain: its position and hash. Before the first row, 0 and 64 zeros. */
export interface ChainHead {
  id: number
  hash: string
}

/** The rows that continue a chain, in order. `at` as in AuditRow. */
export function chained(
  head: ChainHead,
  at: string,
  actor: Actor,
  events: readonly AuditEvent[],
): AuditRow[] {
  const rows: AuditRow[] = []
  for (const event of events) rows.push(chainedRow(rows.at(-1) ?? head, at, actor, event))
  return rows
}

function chainedRow(last: ChainHead, at: string, actor: Actor, event: AuditEvent): AuditRow {
  const by = event.by ?? actor
  const row = {
    id: last.id + 1,
    at,
    actor: by.id,
    action: event.action,
    outcome: event.outcome ?? 'done',
    target_kind: event.targetKind,
    target_id: event.targetId,
    tenant: event.tenantId ?? null,
    request_id: by.requestId ?? null,
    source: by.source ?? null,
    // As it will be read back: instants are text.
    changes: JSON.parse(JSON.stringify(event.changes)) as FieldChanges,
    previous_hash: last.hash,
  }
  return { ...row, hash: rowHash(row) }
}

/** The expected `hash` of a row, in hex. */
export function rowHash({ hash: _own, ...row }: Omit<AuditRow, 'hash'> & { hash?: string }): string {
  return createHash('sha256').update(canonicalJson(row)).digest('hex')
}

/** RFC 8785: no spaces, members ordered by UTF-16 code units. Input is a result of JSON.parse. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return `{${members
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`)
    .join()}}`
}
