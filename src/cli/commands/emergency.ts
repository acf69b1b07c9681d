import { type Command, InvalidArgumentError } from 'commander'
import { readConfig } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { LONGEST_EXTENSION_MS, writeExtension } from '../../snapshots/emergency-extension.ts'
import { SnapshotFault } from '../../snapshots/snapshot-fault.ts'
import { Snapshots } from '../../snapshots/snapshots.ts'
import { systemClock } from '../../system/clock.ts'
import { processName } from '../../system/host.ts'
import { createLogger } from '../../system/logger.ts'
import { systemRandom } from '../../system/random.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Output, View } from '../output.ts'
import { action, noun, resultVerb } from '../verb.ts'

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

/** The work is done in the folder of the snapshots, not by a running service: a replica that is not ready has no admin API. */
export function emergencyCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const emergency = noun(program, 'emergency', {
    summary: 'decisions while the database is down',
    examples: ['mintmark emergency extend --until 2026-12-01T18:00:00Z --reason "rebuilding the database"'],
  })
  const extend = resultVerb(emergency, 'extend', {
    summary: 'let replicas exchange known API keys for longer without the database',
    details:
      'Run it where a replica runs, with the environment of the service: it writes a sealed file into MINTMARK_SNAPSHOT_DIR, ' +
      'which every replica on that folder reads within a second, also one that does not become ready because its snapshot ' +
      'is too old. API keys that were revoked after the newest snapshot stay usable for that long. Tenants with a limit of ' +
      'their own (staleness_seconds) keep it. At most 7 days; a later extension replaces an earlier one. It is recorded in ' +
      'the audit trail once the database is back.',
    examples: ['mintmark emergency extend --until 2026-12-01T18:00:00Z --reason "rebuilding the database"'],
  })
    .requiredOption('--until <time>', 'when it ends, RFC 3339', instant)
    .requiredOption('--reason <text>', 'reason, for the audit trail', reason)
  extend.action(action(environment, ({ output }) => extendStaleness(environment, extend.opts(), output)))
}

async function extendStaleness(
  environment: NodeJS.ProcessEnv,
  { until, reason }: { until: number; reason: string },
  output: Output,
): Promise<void> {
  const config = readConfig(new Env(environment))
  const { snapshotDir: folder, encryptionKeys, peppers, publicAddress } = config
  if (folder === undefined)
    throw new CliError(EXIT.usage, 'MINTMARK_SNAPSHOT_DIR is not set: there is no snapshot to extend.')
  const issuer = config.issuer ?? `http://localhost:${publicAddress.port}`
  const means = { folder, issuer, encryptionKeys, random: systemRandom }
  const logger = createLogger('silent')
  const snapshots = new Snapshots({ ...means, peppers, clock: systemClock, logger, id: 'command' })
  const madeAt = systemClock.wallMs()
  if (until <= madeAt) throw new CliError(EXIT.usage, '--until must be later than now.')
  if (until - madeAt > LONGEST_EXTENSION_MS) throw new CliError(EXIT.usage, '--until must be within 7 days.')
  try {
    const { position, seenAt } = await snapshots.newestHeader()
    const id = `ext_${systemRandom.uuid()}`
    const madeOn = processName()
    await writeExtension(means, { id, until, madeAt, reason, madeOn, issuer, from: { position, seenAt } })
    const [end, seen] = [until, seenAt].map(ms => new Date(ms).toISOString()) as [string, string]
    const done = { id, until: end, reason, folder, seen_at: seen, position: position.number }
    await output.object(done, VIEW, `Known API keys are exchanged without the database until ${end}.`)
  } catch (error) {
    throw error instanceof SnapshotFault ? new CliError(EXIT.conflict, error.message) : error
  }
}

function instant(text: string): number {
  const ms = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN
  if (Number.isNaN(ms)) throw new InvalidArgumentError('must be a time like 2026-12-01T18:00:00Z.')
  return ms
}

function reason(text: string): string {
  if (text.trim() === '' || text.length > 500)
    throw new InvalidArgumentError('must have 1 to 500 characters.')
  return text
}
