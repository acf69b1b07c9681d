import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { checksOf, firstOf } from '../installation/installation-secrets.ts'
import type { Clock } from '../system/clock.ts'
import { fileFault } from '../system/file-fault.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import type { NamedKey } from '../system/secret.ts'
import {
  keyOf,
  readHeader,
  readSealed,
  type SealedFile,
  type SealedWith,
  unreadable,
  writeSealed,
} from './sealed-file.ts'
import {
  CONTENT_VERSION,
  decodeSnapshot,
  encodeSnapshot,
  rankOf,
  requireForm,
  type SnapshotContent,
  type SnapshotHeader,
} from './snapshot.ts'
import { SnapshotFault } from './snapshot-fault.ts'

const ENDING = '.snapshot'
/** Files of processes that ended are removed then: they hold nothing that newer ones lack. */
const KEPT_MS = 600_000
/** As between the clocks of this host and the database: one of them is wrong. */
const LARGEST_CLOCK_DIFFERENCE_MS = 30_000

/** A snapshot that may be used. */
export interface OpenedSnapshot {
  name: string
  header: SnapshotHeader
  content: SnapshotContent
  ageMs: number
}

/** How old a snapshot may be. */
export interface Validity {
  /** Epoch milliseconds. */
  now: number
  longestAgeMs: number
  /** An extension is in effect for snapshots that were seen then or later; undefined: none is. */
  extendedFrom: number | undefined
}

/** The snapshots of one installation in one folder, which replicas may share: each process writes a file of its own. */
export class Snapshots {
  readonly folder: string
  readonly #own: string
  readonly #issuer: string
  readonly #encryptionKeys: readonly NamedKey[]
  readonly #peppers: readonly NamedKey[]
  readonly #random: Random
  readonly #clock: Clock
  readonly #logger: Logger
  /** Files that were read in full and refused, by name, size and time of change: they are not read again. */
  readonly #refused = new Map<string, SnapshotFault>()
  readonly #noted = new Map<string, SnapshotFault['kind']>()

  constructor(options: {
    folder: string
    /** Identifies this process. */
    id: string
    issuer: string
    encryptionKeys: readonly NamedKey[]
    peppers: readonly NamedKey[]
    random: Random
    clock: Clock
    logger: Logger
  }) {
    this.folder = options.folder
    this.#own = `${options.id}${ENDING}`
    this.#issuer = options.issuer
    this.#encryptionKeys = options.encryptionKeys
    this.#peppers = options.peppers
    this.#random = options.random
    this.#clock = options.clock
    this.#logger = options.logger
  }

  /** Replaces this process's file, and removes files that are not needed. Resolves to its size in bytes. */
  async write(
    about: Pick<SnapshotHeader, 'position' | 'seenAt' | 'writer' | 'writerVersion'>,
    content: SnapshotContent,
  ): Promise<number> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 })
    const pepper = firstOf(this.#peppers)
    const header: SnapshotHeader = {
      kind: 'snapshot',
      content: CONTENT_VERSION,
      issuer: this.#issuer,
      ...about,
      pepper: { id: pepper.id, check: checksOf([pepper])[pepper.id] as string },
    }
    const sealing = { encryptionKeys: this.#encryptionKeys, random: this.#random }
    const size = await writeSealed(join(this.folder, this.#own), header, encodeSnapshot(content), sealing)
    await this.#tidy(header)
    return size
  }

  /**
   * The newest snapshot that may be used. Each one that is refused before it is found is logged.
   * @throws {SnapshotFault} when there is none: names each file, why it is not used, and the cure.
   */
  async newest(validity: Validity): Promise<OpenedSnapshot> {
    const faults: string[] = []
    for (const { name, header, fault } of await this.#listed()) {
      try {
        if (fault) throw fault
        if (!header) continue
        this.#check(header, validity)
        const opened = await this.#open(name)
        // The file may have been replaced: only this header is proven.
        return { name, ...opened, ageMs: this.#check(opened.header, validity) }
      } catch (error) {
        if (!(error instanceof SnapshotFault)) throw error
        this.#note(name, error)
        faults.push(`${name} (${error.kind}): ${error.message}`)
      }
    }
    const all = faults.length === 0 ? 'It has no snapshot.' : faults.join(' ')
    throw new SnapshotFault('unreadable', `No snapshot in ${this.folder} can be used. ${all}`)
  }

  /** The header of the newest snapshot that belongs to this installation, proven. @throws {SnapshotFault} */
  async newestHeader(): Promise<SnapshotHeader> {
    const now = this.#clock.wallMs()
    const { header } = await this.newest({
      now,
      longestAgeMs: Number.POSITIVE_INFINITY,
      extendedFrom: undefined,
    })
    return header
  }

  /** Newest first; those without a readable header first of all. @throws {SnapshotFault} */
  async #listed(): Promise<{ name: string; header?: SnapshotHeader & SealedWith; fault?: SnapshotFault }[]> {
    const names = await readdir(this.folder).catch(error => {
      const reason = fileFault(error) ?? 'unknown error'
      throw new SnapshotFault('unreadable', `The folder ${this.folder} cannot be read: ${reason}.`)
    })
    const found = names
      .filter(name => name.endsWith(ENDING))
      .map(async name => {
        try {
          return { name, header: await readHeader<SnapshotHeader>(join(this.folder, name)) }
        } catch (error) {
          if (error instanceof SnapshotFault) return { name, fault: error }
          throw error
        }
      })
    return (await Promise.all(found)).sort((a, b) => rankOf(b.header) - rankOf(a.header))
  }

  /** What the header says, although only the content proves it. Returns the age in milliseconds. @throws {SnapshotFault} */
  #check(header: SnapshotHeader & SealedWith, validity: Validity): number {
    const { now, longestAgeMs, extendedFrom } = validity
    if (header.kind !== 'snapshot' || header.content !== CONTENT_VERSION)
      throw new SnapshotFault('version', `Mintmark ${header.writerVersion} wrote it: start that version.`)
    keyOf(header, this.#encryptionKeys)
    requireForm(header)
    if (header.issuer !== this.#issuer)
      throw new SnapshotFault(
        'foreign',
        `It belongs to the installation ${header.issuer}, and this process serves ${this.#issuer}: set MINTMARK_SNAPSHOT_DIR to the folder of this one.`,
      )
    this.#checkPepper(header)
    const ageMs = now - header.seenAt
    if (ageMs < -LARGEST_CLOCK_DIFFERENCE_MS)
      throw new SnapshotFault(
        'clock',
        `It is ${Math.round(-ageMs / 1000)} s newer than the clock of this host: correct the clock.`,
      )
    if (ageMs < longestAgeMs) return Math.max(0, ageMs)
    if (extendedFrom === undefined)
      throw new SnapshotFault(
        'old',
        `It is ${Math.round(ageMs / 1000)} s old, and MINTMARK_STALENESS_SECONDS is ${longestAgeMs / 1000}: bring the database back, or run "mintmark emergency extend".`,
      )
    if (header.seenAt < extendedFrom)
      throw new SnapshotFault(
        'replayed',
        'It is older than the snapshot that was extended, and lacks what was revoked in between: restore that one.',
      )
    return ageMs
  }

  #checkPepper({ pepper }: SnapshotHeader): void {
    const own = this.#peppers.find(({ id }) => id === pepper.id)
    if (!own)
      throw new SnapshotFault(
        'lacking_key',
        `Its API keys are stored under the pepper "${pepper.id}", which MINTMARK_PEPPERS lacks: add it to the list.`,
      )
    if (checksOf([own])[own.id] !== pepper.check)
      throw new SnapshotFault(
        'foreign',
        `Its pepper "${pepper.id}" differs from the one in MINTMARK_PEPPERS, so it belongs to another installation: set MINTMARK_SNAPSHOT_DIR to the folder of this one.`,
      )
  }

  async #open(name: string): Promise<{ header: SnapshotHeader & SealedWith; content: SnapshotContent }> {
    const path = join(this.folder, name)
    const { size, mtimeMs } = await stat(path).catch(unreadable)
    const version = `${name} ${size} ${mtimeMs}`
    const refused = this.#refused.get(version)
    if (refused) throw refused
    try {
      const file: SealedFile<SnapshotHeader> = await readSealed(path, this.#encryptionKeys)
      return { header: file.header, content: decodeSnapshot(file.parts()) }
    } catch (error) {
      if (error instanceof SnapshotFault) this.#refused.set(version, error)
      throw error
    }
  }

  /** Each refusal is logged once. */
  #note(name: string, { kind, message }: SnapshotFault): void {
    if (this.#noted.get(name) === kind) return
    this.#noted.set(name, kind)
    this.#logger.error({ file: name, fault: kind, reason: message }, 'snapshot refused')
  }

  /** Removes files of this installation that nothing renews and that are no newer, and what interrupted writes left. */
  async #tidy({ seenAt }: SnapshotHeader): Promise<void> {
    const now = this.#clock.wallMs()
    for (const name of await readdir(this.folder)) {
      if (name === this.#own || !(name.endsWith(ENDING) || name.endsWith('.tmp'))) continue
      const path = join(this.folder, name)
      try {
        if (now - (await stat(path)).mtimeMs < KEPT_MS) continue
        if (name.endsWith(ENDING)) {
          const header = await readHeader<SnapshotHeader>(path)
          keyOf(header, this.#encryptionKeys)
          if (header.kind !== 'snapshot' || header.issuer !== this.#issuer || header.seenAt > seenAt) continue
        }
        await rm(path, { force: true })
      } catch {
        // It is another installation's or damaged, or another process removed it.
      }
    }
  }
}
