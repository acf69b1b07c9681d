import type { Config } from '../config/config.ts'
import { ExtensionFile } from '../snapshots/emergency-extension.ts'
import { Snapshots } from '../snapshots/snapshots.ts'
import type { Storage, System } from './storage.ts'

/** What happened to snapshots since the start. */
interface SnapshotStatistics {
  written: number
  failed: number
  /** Of the last one that this process wrote. */
  bytes: number | undefined
  seconds: number | undefined
  /** Monotonic milliseconds. */
  writtenAt: number | undefined
}

/** Undefined without MINTMARK_SNAPSHOT_DIR. */
export interface SnapshotParts {
  snapshots: Snapshots | undefined
  extension: ExtensionFile | undefined
  statistics: SnapshotStatistics
}

export function buildSnapshots(
  config: Config,
  system: System,
  { time }: Storage,
  issuer: string,
): SnapshotParts {
  const { snapshotDir: folder, encryptionKeys, peppers } = config
  const statistics = { written: 0, failed: 0, bytes: undefined, seconds: undefined, writtenAt: undefined }
  if (folder === undefined) return { snapshots: undefined, extension: undefined, statistics }
  const means = { folder, issuer, encryptionKeys }
  return {
    snapshots: new Snapshots({ ...means, ...system, peppers, id: system.random.uuid() }),
    extension: new ExtensionFile({ ...means, now: () => time.now() }),
    statistics,
  }
}
