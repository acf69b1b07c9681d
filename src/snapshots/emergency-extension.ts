import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Random } from '../system/random.ts'
import type { NamedKey } from '../system/secret.ts'
import { readSealed, unreadable, writeSealed } from './sealed-file.ts'
import type { SnapshotHeader } from './snapshot.ts'
import { SnapshotFault } from './snapshot-fault.ts'

/**
 * An operator's decision, while Postgres is down, that what is known stays in use beyond the staleness window. A sealed
 * file next to the snapshots, so that every process on the volume follows it, also after a restart.
 */
export interface EmergencyExtension {
  id: string
  /** Epoch milliseconds. */
  until: number
  createdAt: number
  reason: string
  /** The host and process that created it. */
  createdOn: string
  issuer: string
  /** Snapshots that saw less than the newest one of that moment are not extended. */
  from: Pick<SnapshotHeader, 'position' | 'seenAt'>
}

export const LONGEST_EXTENSION_MS = 7 * 86_400_000

const NAME = 'emergency-extension'

interface Read {
  extension?: EmergencyExtension
  fault?: unknown
}

interface Means {
  folder: string
  issuer: string
  encryptionKeys: readonly NamedKey[]
}

/** Replaces the extension of this folder. @throws {RangeError} when it ends in the past or more than 7 days later. */
export async function writeExtension(
  { folder, encryptionKeys, random }: Means & { random: Random },
  extension: EmergencyExtension,
): Promise<void> {
  const { until, createdAt } = extension
  if (!(until > createdAt)) throw new RangeError('The extension must end later than now.')
  if (until - createdAt > LONGEST_EXTENSION_MS) throw new RangeError('The extension must end within 7 days.')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const parts = [Buffer.from(JSON.stringify(extension))]
  await writeSealed(join(folder, NAME), { kind: NAME }, parts, { encryptionKeys, random })
}

/** The extension in a folder, as this process last read it. */
export class ExtensionFile {
  readonly #means: Means
  readonly #now: () => number
  #version = ''
  #extension: EmergencyExtension | undefined
  #fault: unknown

  /** `now` is the database time in epoch milliseconds. */
  constructor(options: Means & { now: () => number }) {
    const { now, ...means } = options
    this.#means = means
    this.#now = now
  }

  /** Undefined: there is none, or it ended. */
  get current(): EmergencyExtension | undefined {
    return this.#extension && this.#now() < this.#extension.until ? this.#extension : undefined
  }

  /** The last one that was read, also when it ended. */
  get last(): EmergencyExtension | undefined {
    return this.#extension
  }

  /**
   * Reads the file if it changed. What was read stays in effect while the volume does not answer. @throws {SnapshotFault} when the file
   * is not genuine: then none is in effect.
   */
  async refresh(): Promise<void> {
    const path = join(this.#means.folder, NAME)
    const found = await stat(path).catch(error => (isGone(error) ? undefined : unreadable(error)))
    const version = found ? `${found.size} ${found.mtimeMs} ${found.ino}` : ''
    if (version !== this.#version) {
      const outcome: Read = found ? await this.#read(path).catch((fault: unknown): Read => ({ fault })) : {}
      const { fault } = outcome
      if (fault instanceof SnapshotFault && fault.kind === 'unreadable') throw fault
      this.#version = version
      this.#extension = outcome.extension
      this.#fault = fault
    }
    if (this.#fault) throw this.#fault
  }

  async #read(path: string): Promise<Read> {
    const { issuer, encryptionKeys } = this.#means
    const file = await readSealed<{ kind: string }>(path, encryptionKeys)
    const [part] = file.parts()
    const read: EmergencyExtension = JSON.parse(String(part))
    if (file.header.kind !== NAME)
      throw new SnapshotFault('corrupted', `It is not an extension: remove ${path}.`)
    if (read.issuer !== issuer)
      throw new SnapshotFault('foreign', `It belongs to the installation ${read.issuer}: remove ${path}.`)
    if (read.until - read.createdAt > LONGEST_EXTENSION_MS)
      throw new SnapshotFault('corrupted', `It is longer than 7 days: remove ${path}.`)
    return { extension: read }
  }
}

const isGone = (error: unknown) =>
  ['ENOENT', 'ENOTDIR'].includes(String((error as NodeJS.ErrnoException).code))
