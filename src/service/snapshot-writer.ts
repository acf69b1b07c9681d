import { recordOnce } from '../audit/record-once.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { processName } from '../system/host.ts'
import { packageVersion } from '../system/package-version.ts'
import type { Parts } from './parts.ts'

type WriterParts = Pick<
  Parts,
  'system' | 'storage' | 'follower' | 'trust' | 'directory' | 'signing' | 'snapshots'
>

const INTERVAL_MS = 60_000
/** After a change, for example a revocation. */
const SHORTEST_INTERVAL_MS = 2_000
/** Bounds the cost while something changes all the time. */
const PAUSE_FACTOR = 20
const LONGEST_PAUSE_MS = 10_000

/** Writes what this process serves into its snapshot: each minute, and within ten seconds after a change. */
export class SnapshotWriter {
  readonly #parts: WriterParts
  readonly #snapshots: Snapshots
  #begun = Number.NEGATIVE_INFINITY
  #tookMs = 0
  /** The number of the last change in the last snapshot. */
  #written: string | undefined
  #seenAt = Number.NEGATIVE_INFINITY

  constructor(parts: WriterParts, snapshots: Snapshots) {
    this.#parts = parts
    this.#snapshots = snapshots
  }

  /** Called each second. @throws the errors of the file system and of the database. */
  async tick(): Promise<void> {
    const { system, storage, follower, snapshots } = this.#parts
    const now = system.clock.monotonicMs()
    const place = follower.place
    if (!place) return
    const changed = place.number !== this.#written
    const restMs = Math.min(PAUSE_FACTOR * this.#tookMs, LONGEST_PAUSE_MS)
    const pause = Math.max(changed ? SHORTEST_INTERVAL_MS : INTERVAL_MS, restMs)
    const seenAt = storage.time.now() - follower.stalenessSeconds * 1000
    // Without the database nothing is newer than in the snapshot before.
    if (now - this.#begun < pause || seenAt <= this.#seenAt) return
    this.#begun = now
    const { statistics } = snapshots
    try {
      statistics.bytes = await this.#write(place, seenAt)
      statistics.written++
      statistics.writtenAt = system.clock.monotonicMs()
      this.#written = place.number
      this.#seenAt = seenAt
    } catch (error) {
      statistics.failed++
      throw error
    } finally {
      this.#tookMs = system.clock.monotonicMs() - now
      statistics.seconds = this.#tookMs / 1000
    }
  }

  async #write(position: { number: string; id: string }, seenAt: number): Promise<number> {
    const { trust, directory, signing } = this.#parts
    // All taken at the same moment: no change is applied in between.
    const contents = directory.copy.contents
    if (!contents) throw new Error('a position without a directory')
    const gone = directory.keyStatuses.gone
    const identities = directory.identities.contents
    const tombstones = trust.tombstones.memory
    const denied = directory.denyList.contents
    const introspectors = directory.introspectors.contents
    const signingKeys = await signing.signingKeys.export()
    const about = { position, seenAt, writer: processName(), writerVersion: packageVersion() }
    const content = { signingKeys, gone, denied, introspectors, directory: contents, identities, tombstones }
    return this.#snapshots.write(about, content)
  }
}

/** Records an extension in the audit trail, once for all replicas. */
export async function auditExtension({
  storage,
  snapshots,
}: Pick<Parts, 'storage' | 'snapshots'>): Promise<void> {
  const extension = snapshots.extension?.last
  if (!extension) return
  const changes = {
    until: { to: new Date(extension.until).toISOString() },
    created_at: { to: new Date(extension.createdAt).toISOString() },
    created_on: { to: extension.createdOn },
    reason: { to: extension.reason },
  }
  const event = {
    action: 'emergency.extend',
    targetKind: 'installation',
    targetId: extension.id,
    changes,
  } as const
  await recordOnce(storage.database, { id: 'root' }, event)
}
