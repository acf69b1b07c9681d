import { readConfig } from '../config/config.ts'
import { Env } from '../config/env.ts'
import { LONGEST_EXTENSION_MS, writeExtension } from '../snapshots/emergency-extension.ts'
import { SnapshotFault } from '../snapshots/snapshot-fault.ts'
import { Snapshots } from '../snapshots/snapshots.ts'
import { systemClock } from '../system/clock.ts'
import { fileFault } from '../system/file-fault.ts'
import { processName } from '../system/host.ts'
import { createLogger } from '../system/logger.ts'
import { systemRandom } from '../system/random.ts'
import { CliError, EXIT } from './exit-codes.ts'
import type { Output, View } from './output.ts'

interface Extended {
  id: string
  until: string
  reason: string
  folder: string
  /** Of the newest snapshot. */
  seen_at: string
  position: string
}

const VIEW: View<Extended> = { plural: 'extensions', id: ({ id }) => id, columns: [] }

/** Writes an extension into the folder of the snapshots. @throws {CliError} */
export async function extendStaleness(
  environment: NodeJS.ProcessEnv,
  { until: end, reason }: { until: string; reason: string },
  output: Output,
): Promise<void> {
  const until = Date.parse(end)
  const config = readConfig(new Env(environment))
  const { snapshotDir: folder, encryptionKeys, peppers, publicAddress } = config
  if (folder === undefined)
    throw new CliError(EXIT.usage, 'MINTMARK_SNAPSHOT_DIR is not set: there is no snapshot to extend.')
  const issuer = config.issuer ?? `http://localhost:${publicAddress.port}`
  const means = { folder, issuer, encryptionKeys, random: systemRandom }
  const logger = createLogger('silent')
  const snapshots = new Snapshots({ ...means, peppers, clock: systemClock, logger, id: 'command' })
  const createdAt = systemClock.wallMs()
  if (until <= createdAt) throw new CliError(EXIT.usage, '--until must be later than now.')
  if (until - createdAt > LONGEST_EXTENSION_MS)
    throw new CliError(EXIT.usage, '--until must be within 7 days.')
  try {
    const { position, seenAt } = await snapshots.newestHeader()
    const id = `ext_${systemRandom.uuid()}`
    const createdOn = processName()
    await writeExtension(means, {
      id,
      until,
      createdAt,
      reason,
      createdOn,
      issuer,
      from: { position, seenAt },
    })
    const [ends, seen] = [until, seenAt].map(ms => new Date(ms).toISOString()) as [string, string]
    const done = { id, until: ends, reason, folder, seen_at: seen, position: position.number }
    await output.object(done, VIEW, `Known API keys are exchanged without the database until ${ends}.`)
  } catch (error) {
    if (error instanceof SnapshotFault) throw new CliError(EXIT.conflict, error.message)
    const reason = fileFault(error)
    if (reason === undefined) throw error
    throw new CliError(
      EXIT.conflict,
      `The extension cannot be written into ${folder}: ${reason}. Nothing was changed.`,
    )
  }
}
