import { type Command, InvalidArgumentError } from 'commander'
import { parseTime } from '../time-arguments.ts'
import { action, noun, resultVerb } from '../verb.ts'

/** The work is done in the folder of the snapshots, not by a running service: a replica that is not ready has no admin API. */
export function emergencyCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const emergency = noun(program, 'emergency', {
    summary: 'serve for longer while the database is down',
    examples: ['mintmark emergency extend --until 12h --reason "rebuilding the database"'],
  })
  const extend = resultVerb(emergency, 'extend', {
    summary: 'let replicas exchange known API keys for longer without the database',
    details:
      'Run it where a replica runs, with the environment of the service: it writes a sealed file into MINTMARK_SNAPSHOT_DIR, ' +
      'which every replica on that folder reads within a second, also one that does not become ready because its snapshot ' +
      'is too old. API keys that were revoked after the newest snapshot stay usable for that long. Tenants with a limit of ' +
      'their own (staleness_seconds) keep it. At most 7 days; a later extension replaces an earlier one. It is recorded in ' +
      'the audit trail once the database is back.',
    examples: ['mintmark emergency extend --until 12h --reason "rebuilding the database"'],
  })
    .requiredOption('--until <time>', 'when it ends, like 12h or 2026-12-01T18:00:00Z', parseTime('from now'))
    .requiredOption('--reason <text>', 'reason, for the audit trail', reason)
  extend.action(
    action(environment, async ({ output }) => {
      const { extendStaleness } = await import('../extend-staleness.ts')
      await extendStaleness(environment, extend.opts(), output)
    }),
  )
}

function reason(text: string): string {
  if (text.trim() === '' || text.length > 500)
    throw new InvalidArgumentError('must have 1 to 500 characters.')
  return text
}
