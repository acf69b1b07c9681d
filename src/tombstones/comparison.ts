import type { Handle } from '../database/database.ts'
import { readOpen, readUnstored } from './restore-repository.ts'
import { isReversible, type Mark, type Memory, nameOf, type Tombstone } from './tombstone.ts'
import { continues, readEnded, readState, readUsable } from './tombstone-repository.ts'

/** A restore that this process detected. */
export interface DetectedRestore {
  /** The newest memory that the database does not continue; if it continues all, the newest of what it brought back. */
  memory: Pick<Memory, 'mark' | 'seenAt' | 'writer'>
  found: Mark
  /** What ended according to the memories, and is usable in the database. */
  tombstones: readonly Tombstone[]
}

export const byName = (tombstones: readonly Tombstone[]) =>
  new Map(tombstones.map(tombstone => [nameOf(tombstone), tombstone]))

/** A secret may end some time after the change that ends it. */
const LATER: ReadonlySet<Tombstone['kind']> = new Set(['secret_ended', 'usage_reporter_secret_ended'])

/**
 * What cannot be taken back. A database that continues the memory, and in which it is usable, got older rows in single tables: its
 * audit trail continues. A secret that was to end later may have got another end since.
 */
const forGood = ({ ended, pending, seenAt }: Memory): Tombstone[] =>
  [...ended, ...pending].filter(({ kind, at }) => !isReversible(kind) && (!LATER.has(kind) || at <= seenAt))

/** The state of the database, and what memories know that it does not. */
export async function compare(trx: Handle, memories: readonly Memory[]) {
  const state = await readState(trx)
  const ended = (await readEnded(trx)).reverse()
  const open = await readOpen(trx)
  const [lost, continued]: [Memory[], Memory[]] = [[], []]
  for (const memory of memories) {
    if (memory.installation !== state.installation) continue
    const isContinued = await continues(trx, memory.mark)
    if (isContinued) continued.push(memory)
    else lost.push(memory)
  }
  // Of an object that several have, the newest counts: a secret was perhaps revoked that was to end later.
  const byAge = (some: readonly Memory[]) => some.toSorted((one, other) => one.seenAt - other.seenAt)
  const usableOf = async (tombstones: readonly Tombstone[]) =>
    readUnstored(trx, await readUsable(trx, [...byName(tombstones).values()]))
  const usable = await usableOf([
    ...byAge(continued).flatMap(forGood),
    ...byAge(lost).flatMap(memory => [...memory.ended, ...memory.pending]),
  ])
  // A file from before the last restore says nothing new, unless it has what no other memory had.
  const isNew = ({ seenAt }: Memory) => open.noticedAt === null || seenAt > open.noticedAt
  const [newest] = (lost.length > 0 ? lost : continued).toSorted((one, other) => other.mark.id - one.mark.id)
  const detected: DetectedRestore | undefined =
    newest && (usable.length > 0 || lost.some(isNew))
      ? { memory: newest, found: state.mark, tombstones: usable }
      : undefined
  return { state, ended, open, detected }
}
