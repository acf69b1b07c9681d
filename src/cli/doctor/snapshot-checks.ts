import type { Config } from '../../config/config.ts'
import { SnapshotFault } from '../../snapshots/snapshot-fault.ts'
import { Snapshots } from '../../snapshots/snapshots.ts'
import { systemClock } from '../../system/clock.ts'
import { createLogger } from '../../system/logger.ts'
import { systemRandom } from '../../system/random.ts'
import { type Finding, fault, ok, warning } from './finding.ts'

/** A snapshot is written about each minute. */
const OLDEST_SECONDS = 600

/** Whether a replica in this environment could start from the newest snapshot, and how old it is. */
export async function snapshotFindings(config: Config): Promise<Finding[]> {
  const { snapshotDir: folder, encryptionKeys, peppers, publicAddress } = config
  if (folder === undefined)
    return [
      warning(
        'snapshot',
        'MINTMARK_SNAPSHOT_DIR is not set: a replica cannot start while Postgres is down',
        'Set it to a volume (docs/guides/postgres-outage.md).',
      ),
    ]
  const issuer = config.issuer ?? `http://localhost:${publicAddress.port}`
  const means = { clock: systemClock, random: systemRandom, logger: createLogger('silent') }
  const snapshots = new Snapshots({
    ...{ folder, issuer, encryptionKeys, peppers, id: systemRandom.uuid() },
    ...means,
  })
  try {
    const { seenAt } = await snapshots.newestHeader()
    const age = Math.round((systemClock.wallMs() - seenAt) / 1000)
    if (age <= OLDEST_SECONDS)
      return [ok('snapshot', `the newest in ${folder} can be read, and is ${age} s old`)]
    return [
      warning(
        'snapshot',
        `the newest in ${folder} can be read, and is ${age} s old`,
        'Look for "snapshot" in the log of the replicas.',
      ),
    ]
  } catch (error) {
    if (!(error instanceof SnapshotFault)) throw error
    return [
      fault('snapshot', error.message, 'Check the volume, and MINTMARK_ENCRYPTION_KEYS of this environment.'),
    ]
  }
}
