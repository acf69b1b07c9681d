import type { Command } from 'commander'
import type { AdminClient } from '../../admin-client.ts'
import { irreversible, isConfirmed } from '../../confirmation.ts'
import { CliError } from '../../exit-codes.ts'
import { bodyOf, text, time } from '../../field-options.ts'
import type { View } from '../../output.ts'
import { canAsk } from '../../prompt.ts'
import { action, type Invocation, resultVerb } from '../../verb.ts'
import { keyFilters } from './key-read.ts'

interface NamedKey {
  id: string
  tenant: string
  name: string
}

const VIEW: View<NamedKey> = {
  plural: 'keys that match',
  id: ({ id }) => id,
  columns: [
    { title: 'ID', of: ({ id }) => id },
    { title: 'TENANT', of: ({ tenant }) => tenant, cut: true },
    { title: 'NAME', of: ({ name }) => name, cut: true },
  ],
}

export function bulkRevokeCommand(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = irreversible(
    resultVerb(key, 'bulk-revoke', {
      summary: 'revoke all matching keys permanently',
      details:
        'Give at least one filter; all given filters must match. Times are like 2027-01-31T12:00:00Z, 2027-01-31 or 90d. It continues until none is ' +
        'left; after an interruption, repeat the command.',
      examples: [
        'mintmark key bulk-revoke --label repository=shop --reason "key was public" --dry-run',
        'mintmark key bulk-revoke --tenant acme --unused-since 180d',
      ],
    }),
  ).addOption(text('tenant', '--tenant <tenant>', 'keys of this tenant'))
  for (const option of keyFilters()) command.addOption(option)
  command
    .addOption(time('created_after', '--created-after <time>', 'keys created after this time', 'ago'))
    .addOption(time('created_before', '--created-before <time>', 'keys created before this time', 'ago'))
    .option('--reason <text>', 'reason, stored with each key and in the audit trail')
    .option('--dry-run', 'only list the keys, and change nothing')
    .action(
      action(environment, async invocation => {
        const { admin, output } = invocation
        const { dryRun, reason = null } = command.opts<{ dryRun?: boolean; reason?: string }>()
        const request = { filter: bodyOf(command), reason }
        if (!dryRun) await confirmCount(invocation, request, isConfirmed(command, environment))
        const { keys, note } = await (dryRun ? rehearse(admin, request) : revokeAll(admin, request))
        await output.list(keys, VIEW)
        if (keys.length > 0) output.note(note)
      }),
    )
}

/** Counts what would be revoked only where a person is asked. */
async function confirmCount(
  { admin, confirm }: Invocation,
  request: object,
  confirmed: boolean,
): Promise<void> {
  if (confirmed) return
  if (!canAsk())
    return confirm({ warning: 'This revokes all matching keys and their issued tokens.', name: '' })
  const { note, keys } = await rehearse(admin, request)
  if (keys.length > 0)
    await confirm({ warning: `${note} Their issued tokens are revoked too.`, name: 'revoke' })
}

interface Done {
  keys: NamedKey[]
  note: string
}

/** The service stops counting here. */
const MOST_COUNTED = 10_000

async function rehearse(admin: AdminClient, request: object): Promise<Done> {
  const { keys, would_revoke } = await admin.post<{ keys: NamedKey[]; would_revoke: number }>(
    '/keys/revoke',
    {
      ...request,
      dry_run: true,
    },
  )
  const count = would_revoke < MOST_COUNTED ? `${would_revoke}` : `${would_revoke} or more`
  const shown = keys.length < would_revoke ? ` The first ${keys.length} are shown.` : ''
  return { keys, note: `Would revoke ${count}.${shown}` }
}

async function revokeAll(admin: AdminClient, request: object): Promise<Done> {
  const keys: NamedKey[] = []
  let left: number
  do {
    const part = await admin
      .post<{ keys: NamedKey[]; left: number }>('/keys/revoke', request)
      .catch(error => Promise.reject(withProgress(error, keys.length)))
    keys.push(...part.keys)
    left = part.left
  } while (left > 0)
  return { keys, note: `Revoked ${keys.length}. Their issued tokens are revoked too.` }
}

function withProgress(error: unknown, done: number): unknown {
  if (!(error instanceof CliError) || done === 0) return error
  const progress = `${done} keys were revoked before the error. Repeat the command for the rest.`
  return new CliError(error.exitCode, error.message, [...error.details, progress])
}
