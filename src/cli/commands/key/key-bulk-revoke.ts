import type { Command } from 'commander'
import type { AdminClient } from '../../admin-client.ts'
import { CliError } from '../../exit-codes.ts'
import { bodyOf, text } from '../../field-options.ts'
import type { View } from '../../output.ts'
import { action, resultVerb } from '../../verb.ts'
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
  const command = resultVerb(key, 'bulk-revoke', {
    summary: 'revoke all matching keys permanently',
    details:
      'Give at least one filter; all given filters must match. Times are like 2027-01-31T12:00:00Z. It continues until none is ' +
      'left; after an interruption, repeat the command.',
    examples: [
      'mintmark key bulk-revoke --label repository=shop --reason "key was public" --dry-run',
      'mintmark key bulk-revoke --tenant acme --unused-since 2026-01-01T00:00:00Z',
    ],
  }).addOption(text('tenant', '--tenant <tenant>', 'keys of this tenant'))
  for (const option of keyFilters()) command.addOption(option)
  command
    .addOption(text('created_after', '--created-after <time>', 'keys created after this time'))
    .addOption(text('created_before', '--created-before <time>', 'keys created before this time'))
    .option('--reason <text>', 'reason, stored with each key and in the audit trail')
    .option('--dry-run', 'only list the keys, and change nothing')
    .action(
      action(environment, async ({ admin, output }) => {
        const { dryRun, reason = null } = command.opts<{ dryRun?: boolean; reason?: string }>()
        const request = { filter: bodyOf(command), reason }
        const { keys, note } = await (dryRun ? rehearse(admin, request) : revokeAll(admin, request))
        await output.list(keys, VIEW)
        if (keys.length > 0) output.note(note)
      }),
    )
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
