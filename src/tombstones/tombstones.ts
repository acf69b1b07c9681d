import { SYSTEM } from '../audit/audit-event.ts'
import { lockHead } from '../audit/audit-event-repository.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Change } from '../database/change.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Logger } from '../system/logger.ts'
import { byName, compare, type DetectedRestore } from './comparison.ts'
import { insertRestore, readOpen } from './restore-repository.ts'
import {
  isReversible,
  type Mark,
  type Memory,
  nameOf,
  type Tombstone,
  type TombstoneKind,
} from './tombstone.ts'
import { continues, MOST_TOMBSTONES, readEndedOf, readState } from './tombstone-repository.ts'

interface Known {
  mark: Mark
  installation: string
  seenAt: number
}

/** Changed objects as read again. `open`: only after a change of a restore. */
interface Update {
  mark: Mark
  seenAt: number
  changes: readonly Change[]
  ended: readonly Tombstone[]
  open: Awaited<ReturnType<typeof readOpen>> | undefined
}

/**
 * What ended, as this process knows it. When the database is restored to an older state, what it brings back is pending:
 * it stays refused until a person reconciles it. docs/decisions/0024-restores-and-tombstones.md
 */
export class Tombstones implements ChangeSubscriber {
  readonly #databases: { reading: Database; writing: Database }
  readonly #logger: Logger
  readonly #writer: string
  readonly #readFiles: () => Promise<readonly Memory[]>
  /** What ended in the database that is followed. Its entries are refused there too. */
  #ended = new Map<string, Tombstone>()
  /** What is refused although it is usable in the database. */
  #pending = new Map<string, Tombstone>()
  /** Of `#ended`; undefined before the first load. */
  #known: Known | undefined
  /** Memories of other processes, until the first load. */
  #remembered: readonly Memory[] = []
  #early: ReadonlySet<string> = new Set()
  /** Not stored in the database yet. */
  #detected: DetectedRestore | undefined
  /** Restores in the database that are not reconciled. */
  #open = 0
  /** What was read since the load in progress began: newer than what it reads. */
  #since: Update[] | undefined

  /** `writer`: the name of this process. `readFiles`: the memories in snapshots. */
  constructor(options: {
    reading: Database
    writing: Database
    logger: Logger
    writer: string
    readFiles: () => Promise<readonly Memory[]>
  }) {
    const { reading, writing, logger, writer } = options
    this.#readFiles = options.readFiles
    this.#databases = { reading, writing }
    this.#logger = logger
    this.#writer = writer
  }

  /** Whether the object ended, and when, in epoch milliseconds; undefined: not as far as this process knows. */
  endOf(kind: TombstoneKind, id: string): number | undefined {
    const name = nameOf({ kind, id })
    return (this.#pending.get(name) ?? this.#ended.get(name))?.at
  }

  has(kind: TombstoneKind, id: string): boolean {
    const name = nameOf({ kind, id })
    return this.#pending.has(name) || this.#ended.has(name) || this.#early.has(name)
  }

  /** Number of objects that are refused although they are usable in the database. */
  get pending(): number {
    return this.#pending.size
  }

  /** Of `pending`, by name. */
  get pendingTombstones(): Tombstone[] {
    return [...this.#pending.values()]
  }

  /** The database was restored, and is not reconciled. */
  get isUnreconciled(): boolean {
    return this.#open > 0 || this.#detected !== undefined
  }

  /** The restore that this process detected and did not store yet. */
  get detected(): DetectedRestore | undefined {
    return this.#detected
  }

  /** What this process knows, for a snapshot; undefined before the first load. */
  get memory(): Memory | undefined {
    if (!this.#known) return undefined
    const [ended, pending] = [[...this.#ended.values()], [...this.#pending.values()]]
    return { ...this.#known, writer: this.#writer, ended, pending }
  }

  /**
   * Reads the memories of snapshots, before the first load: what cannot be taken back in them is refused at once. `others`:
   * of exported audit trails.
   */
  async remember(others: readonly Memory[] = []): Promise<readonly Memory[]> {
    if (this.#known) return []
    // Snapshots have the exact instants: the last of two for one object counts.
    this.#remembered = [...others, ...(await this.#readFiles())]
    const all = this.#remembered.flatMap(({ ended, pending }) => [...ended, ...pending])
    this.#early = new Set(all.filter(({ kind }) => !isReversible(kind)).map(nameOf))
    return this.#remembered
  }

  /** Starts as the process that wrote a snapshot. */
  adopt({ mark, installation, seenAt, ended, pending }: Memory): void {
    this.#known = { mark, installation, seenAt }
    this.#ended = byName(ended)
    this.#pending = byName(pending)
    this.#open = pending.length > 0 ? 1 : 0
  }

  /** `ChangeSubscriber.load`. Compares the database with what is known. */
  async load(): Promise<Apply> {
    const since: Update[] = []
    this.#since = since
    const own = this.memory
    // The process that knew most may have ended before the restore.
    const memories = own ? [own, ...(await this.#readFiles())] : this.#remembered
    const { state, ended, open, detected } = await this.#databases.reading.readSnapshot(trx =>
      compare(trx, memories),
    )
    return () => {
      const { mark, installation = '', now: seenAt } = state
      this.#known = { mark, installation, seenAt }
      this.#ended = byName(ended)
      if (detected) this.#notice(detected)
      this.#setOpen(open)
      for (const update of since) this.#apply(update)
      this.#since = undefined
      this.#remembered = []
      this.#early = new Set()
    }
  }

  /** `ChangeSubscriber.read`. Nothing is forgotten by a database that does not continue what is known. */
  async read(trx: Handle, changes: readonly Change[]): Promise<Apply> {
    const known = this.#known
    const isContinued = known !== undefined && (await continues(trx, known.mark))
    const ids = changes.map(({ id }) => id)
    const { mark, now: seenAt } = await readState(trx)
    const ended = await readEndedOf(trx, ids)
    const open = changes.some(({ kind }) => kind === 'restore') ? await readOpen(trx) : undefined
    const update = { mark, seenAt, changes, ended, open }
    return () => {
      this.#since?.push(update)
      if (isContinued) this.#apply(update)
    }
  }

  /** `ChangeSubscriber.forget`. What ended stays ended. */
  forget(): void {}

  /** Stores the restore that this process detected, so that every replica refuses what is pending. */
  async store(): Promise<void> {
    const detected = this.#detected
    if (!detected) return
    const { memory, found, tombstones } = detected
    await mutate(this.#databases.writing, SYSTEM, async ({ trx, record }) => {
      // Other replicas notice it at the same moment.
      await lockHead(trx)
      const { mark: known, seenAt: knownAt } = memory
      const stored = await insertRestore(trx, { by: this.#writer, known, knownAt, found }, tombstones)
      if (!stored.isNew && stored.added === 0) return
      const changes = {
        known_row: { to: known.id },
        known_hash: { to: known.hash },
        found_row: { to: found.id },
        tombstones: { to: stored.added },
      }
      const event = { action: 'restore.notice', targetKind: 'restore', targetId: stored.id, changes } as const
      record(event, { kind: 'restore', id: stored.id })
    })
    if (this.#detected === detected) this.#detected = undefined
  }

  #apply({ mark, seenAt, changes, ended, open }: Update): void {
    if (this.#known) this.#known = { ...this.#known, mark, seenAt }
    for (const { kind, id } of changes) {
      if (kind === 'key') this.#ended.delete(nameOf({ kind: 'key_disabled', id }))
      if (kind === 'tenant') this.#ended.delete(nameOf({ kind: 'tenant_suspended', id }))
    }
    for (const tombstone of ended) this.#ended.set(nameOf(tombstone), tombstone)
    // The oldest were added first.
    for (const name of this.#ended.keys()) {
      if (this.#ended.size <= MOST_TOMBSTONES) break
      this.#ended.delete(name)
    }
    if (open) this.#setOpen(open)
  }

  #setOpen({ open, pending }: { open: number; pending: readonly Tombstone[] }): void {
    this.#open = open
    this.#pending = byName([...pending, ...(this.#detected?.tombstones ?? [])])
  }

  #notice(detected: DetectedRestore): void {
    const before = this.#detected?.tombstones ?? []
    const tombstones = [...byName([...before, ...detected.tombstones]).values()]
    this.#detected = { ...detected, tombstones }
    this.#logger.error(
      {
        known: detected.memory.mark,
        knownBy: detected.memory.writer,
        found: detected.found,
        refused: tombstones.length,
      },
      'the database was restored to an older state: what it brought back is refused until "mintmark restore reconcile"',
    )
  }
}
