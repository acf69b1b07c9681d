import { type AuditRow, type ChainHead, rowHash } from '../../audit/audit-chain.ts'
import { chainEnds } from '../../audit/audit-event-repository.ts'
import { verifyTrail } from '../../audit/audit-verification.ts'
import type { Handle } from '../../database/database.ts'
import { systemClock } from '../../system/clock.ts'
import { alignWithStored } from '../../tombstones/restore-repository.ts'
import type { Memory } from '../../tombstones/tombstone.ts'
import { hashAt, readState } from '../../tombstones/tombstone-repository.ts'
import { endedBy } from '../../tombstones/trail.ts'
import { rowsOfFile } from '../commands/audit-verify.ts'
import { CliError, EXIT } from '../exit-codes.ts'

/** A row is written within the transaction of its change, which statement_timeout bounds. */
const WRITTEN_WITHIN_MS = 10_000
const WRITER = 'an exported audit trail'

/** What the database lost, as exported audit trails have it. */
export interface LostPart {
  /** The last row that both have. */
  common: ChainHead
  /** Those after it, which the database does not have. */
  rows: readonly AuditRow[]
  memory: Memory
}

/**
 * Compares exports, in files that may overlap, with the database. Undefined: it has all of their rows.
 * @throws {CliError} when they do not verify, are not of this database, or begin after the backup.
 */
export async function comparedTrails(db: Handle, files: readonly string[]): Promise<LostPart | undefined> {
  const trail = await readTrails(files)
  const common = await lastCommon(db, trail)
  const rows = trail.filter(({ id }) => id > common.id)
  const last = rows.at(-1)
  if (!last) return undefined
  const { installation = '' } = await readState(db)
  const memory: Memory = {
    mark: { id: last.id, hash: last.hash },
    installation,
    seenAt: Date.parse(last.at),
    writer: WRITER,
    ended: await alignWithStored(db, endedBy(rows), WRITTEN_WITHIN_MS),
    pending: [],
  }
  return { common, rows, memory }
}

/** Whole rows without a gap, in their order. @throws {CliError} */
async function readTrails(files: readonly string[]): Promise<AuditRow[]> {
  const byId = new Map<number, AuditRow>()
  for (const file of files)
    for await (const row of rowsOfFile(file)) {
      const other = byId.get(row.id)
      if (other && rowHash(other) !== rowHash(row))
        throw new CliError(
          EXIT.refused,
          `two files have another row ${row.id}: one of them was exported after a restore. Name only those from before it.`,
        )
      byId.set(row.id, row)
    }
  const rows = [...byId.values()].sort((one, other) => one.id - other.id)
  if (rows.length === 0) throw new CliError(EXIT.usage, 'the audit trail has no rows.')
  const { findings } = await verifyTrail(inTurn(rows), { now: systemClock.wallMs() })
  if (findings.length > 0)
    throw new CliError(
      EXIT.refused,
      'the audit trail does not verify. Exports without filters, together without a gap, are needed:',
      findings.map(({ message }) => message),
    )
  return rows
}

async function* inTurn<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

/** By halves: up to this row both are the same, after it none is. @throws {CliError} */
async function lastCommon(db: Handle, trail: readonly AuditRow[]): Promise<ChainHead> {
  const [first] = trail as [AuditRow]
  // The row before the first is common if the first names it.
  const heads: ChainHead[] = [{ id: first.id - 1, hash: first.previous_hash }, ...trail]
  const headAt = (id: number) => heads[id - first.id + 1] as ChainHead
  const isCommon = async (id: number) => (await hashAt(db, id)) === headAt(id).hash
  const { cut, head } = await chainEnds(db)
  let low = Math.max(first.id - 1, cut.id)
  let high = Math.min(first.id + trail.length - 1, head.id)
  if (low > high || !(await isCommon(low))) throw notShared(first.id, head.id)
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (await isCommon(middle)) low = middle
    else high = middle - 1
  }
  // Before its first row every trail is the same.
  if (low === 0 && head.id > 0) throw notShared(first.id, head.id)
  const { id, hash } = headAt(low)
  return { id, hash }
}

const notShared = (first: number, last: number) =>
  new CliError(
    EXIT.refused,
    `the audit trail begins with row ${first}, and shares no row with the database, whose last row is ${last}. ` +
      'Either the trail belongs to another installation, or it begins after the backup: name an earlier export too.',
  )
