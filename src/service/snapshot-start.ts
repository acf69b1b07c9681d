import { SnapshotFault } from '../snapshots/snapshot-fault.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import type { Parts } from './parts.ts'
import type { StartupChecks } from './startup-checks.ts'

type Started = Pick<
  Parts,
  'config' | 'system' | 'storage' | 'follower' | 'trust' | 'policy' | 'directory' | 'signing' | 'snapshots'
>

/**
 * Starts this process from the newest snapshot, while the database does not answer. It is as stale as the snapshot, under
 * the same rules as a replica that lost the database: docs/decisions/0020-sealed-snapshots.md
 */
export class SnapshotStart {
  readonly #parts: Started
  readonly #snapshots: Snapshots
  readonly #checks: StartupChecks

  constructor(parts: Started, snapshots: Snapshots, checks: StartupChecks) {
    this.#parts = parts
    this.#snapshots = snapshots
    this.#checks = checks
  }

  /** @throws {SnapshotFault} when no snapshot can be used */
  async run(): Promise<void> {
    const { system, storage, follower, trust, policy, directory, signing } = this.#parts
    storage.time.assumeHost()
    const { name, header, content, ageMs } = await this.#newest()
    const { id: installation } = content.signingKeys.installation
    if (content.tombstones)
      trust.tombstones.adopt({
        ...content.tombstones,
        installation,
        seenAt: header.seenAt,
        writer: header.writer,
      })
    await signing.signingKeys.adopt(content.signingKeys)
    await directory.identities.adopt(content.identities)
    policy.set(content.signingKeys.installation.policy)
    directory.copy.adopt(content.directory)
    directory.keyStatuses.adopt(content.gone)
    directory.denyList.add(content.denied)
    directory.introspectors.adopt(content.introspectors)
    follower.adopt(header.position, ageMs)
    this.#checks.expect(installation)
    await this.#checks.probe()
    system.logger.warn(
      {
        file: name,
        ageSeconds: Math.round(ageMs / 1000),
        validUntil: this.#validUntil(header.seenAt),
        position: header.position.number,
        keys: directory.copy.size,
        writer: header.writer,
      },
      'started from a snapshot: the database does not answer',
    )
  }

  /** An extension that is refused is none, and keeps no snapshot from being used that needs none. */
  async #newest() {
    const { config, storage, snapshots } = this.#parts
    const refused = await snapshots.extension?.refresh().catch((fault: unknown) => fault)
    if (refused !== undefined && !(refused instanceof SnapshotFault)) throw refused
    const validity = {
      now: storage.time.now(),
      longestAgeMs: config.stalenessSeconds * 1000,
      extendedFrom: snapshots.extension?.current?.from.seenAt,
    }
    return this.#snapshots.newest(validity).catch((error: unknown) => {
      if (!refused || !(error instanceof SnapshotFault)) throw error
      throw new SnapshotFault(
        error.kind,
        `${error.message} The extension in ${this.#snapshots.folder} (${refused.kind}) is not in effect: ${refused.message}`,
      )
    })
  }

  #validUntil(seenAt: number): string {
    const { config, snapshots } = this.#parts
    const until = Math.max(
      seenAt + config.stalenessSeconds * 1000,
      snapshots.extension?.current?.until ?? Number.NEGATIVE_INFINITY,
    )
    return new Date(until).toISOString()
  }
}
