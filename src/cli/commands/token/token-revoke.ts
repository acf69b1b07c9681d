import { rename, writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { systemClock } from '../../../system/clock.ts'
import { denyFilterFile } from '../../../xds/deny-filter-file.ts'
import { irreversible } from '../../confirmation.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import { bodyOf, type FieldOption, text } from '../../field-options.ts'
import { readInput } from '../../input.ts'
import { decodeJwt, tokenIn } from '../../jwt.ts'
import { moment, type View } from '../../output.ts'
import { action, changeVerb, listVerb, repeatable } from '../../verb.ts'
import { requireAllTenants } from '../context/tenant-of-caller.ts'

interface TokenRevocation {
  id: string
  claim: 'jti' | 'key_epoch' | 'tenant_epoch'
  value: string
  key: string | null
  tenant: string | null
  reason: string | null
  created_at: string
  ends_at: string
  /** Absent for the administrators of a tenant. */
  enforced_by?: { gateway: string; instances: number; enforcing: number }[]
}

const VIEW: View<TokenRevocation> = {
  plural: 'revocations of tokens',
  id: revocation => revocation.id,
  columns: [
    { title: 'ID', of: ({ id }) => id },
    { title: 'CLAIM', of: ({ claim }) => claim },
    { title: 'VALUE', of: ({ value }) => value },
    { title: 'KEY', of: ({ key }) => key ?? '-' },
    { title: 'TENANT', of: ({ tenant }) => tenant ?? '-', cut: true },
    { title: 'ENDS', of: ({ ends_at }) => moment(ends_at) },
    { title: 'GATEWAYS', of: enforcement, cut: true },
    { title: 'REASON', of: ({ reason }) => reason ?? '-', cut: true, optional: true },
  ],
}

/** How many processes of each registered gateway have it: `edge 0/0, inference 2/2`. */
function enforcement({ enforced_by = [] }: TokenRevocation): string {
  const shown = enforced_by.map(({ gateway, enforcing, instances }) => `${gateway} ${enforcing}/${instances}`)
  return shown.join(', ') || '-'
}

const SUBJECTS = (): FieldOption[] => [
  text('jti', '--jti <id>', 'one token, by its claim "jti"'),
  text('key', '--key <key>', 'all tokens that were issued to this key'),
  text('tenant', '--tenant <tenant>', 'all tokens that were issued to keys of this tenant'),
]

const WARNINGS = {
  jti: 'This revokes the token',
  key: 'This revokes all tokens that were issued to the key',
  tenant: 'This revokes all tokens that were issued to the tenant',
}

/** Revokes issued tokens: an entry of the list of revoked tokens. */
export function tokenRevokeCommands(token: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(token, 'revoke', {
    summary: 'revoke issued tokens: one, or all of a key or a tenant',
    details:
      'The gateway check rejects revoked tokens at once; a gateway that verifies tokens by itself accepts them until they ' +
      'expire. The key gets new tokens as before: to stop that too, use "mintmark key revoke" or "mintmark tenant suspend".',
    examples: [
      'mintmark token revoke --key key_7Hq2kd9XwP3mZt5B --reason "laptop stolen"',
      'mintmark token revoke --token-file leaked.jwt',
    ],
  })
    .option('--token-file <path>', 'one token, from a file; "-" is standard input')
    .addOption(text('reason', '--reason <text>', 'reason, for the list and the audit trail'))
  for (const option of SUBJECTS()) command.addOption(option)
  irreversible(repeatable(command)).action(
    action(environment, async ({ admin, output, confirm }) => {
      const { tokenFile } = command.opts<{ tokenFile?: string }>()
      const body = { ...bodyOf(command), ...(tokenFile !== undefined && { jti: await jtiIn(tokenFile) }) }
      const [subject, another] = (['jti', 'key', 'tenant'] as const).filter(name => name in body)
      if (subject === undefined || another !== undefined)
        throw new CliError(EXIT.usage, 'name what to revoke: one of --jti, --key, --tenant, --token-file.')
      const named = String((body as Record<string, unknown>)[subject])
      await confirm({ warning: `${WARNINGS[subject]} ${named}.`, name: named })
      const created = await admin.post<TokenRevocation>('/token-revocations', body)
      await output.changed(
        created,
        VIEW,
        `Revoked: ${created.id}. The entry ends ${moment(created.ends_at)}.`,
      )
    }),
  )
  const all = listVerb(token, 'revocations', {
    summary: 'list revocations of tokens that have not expired, newest first',
    details:
      'With --envoy-file, all of them are written to a file that Envoy reads as the configuration of its filter. The file is ' +
      'replaced as a whole: repeat the command at an interval.',
    examples: [
      'mintmark token revocations',
      'mintmark token revocations --envoy-file /etc/envoy/revocations/list.json',
    ],
  }).option('--envoy-file <path>', 'write the list to this file, for an Envoy without xDS')
  all.action(
    action(environment, async ({ admin, output }) => {
      const { limit, envoyFile } = all.opts<{ limit?: number; envoyFile?: string }>()
      if (envoyFile !== undefined && limit !== undefined)
        throw new CliError(EXIT.usage, '--envoy-file writes the whole list: leave out --limit.')
      // An Envoy with the list of one tenant accepts the revoked tokens of all others.
      if (envoyFile !== undefined) await requireAllTenants(admin, '--envoy-file needs the revocations')
      const listed = await admin.list<TokenRevocation>('/token-revocations', limit)
      if (envoyFile === undefined) return output.list(listed, VIEW)
      await writeEnvoyFile(envoyFile, listed)
      output.note(`Wrote ${listed.length} revocations to ${envoyFile}.`)
    }),
  )
}

/** @throws {CliError} when the file has no token */
async function jtiIn(file: string): Promise<string> {
  const { claims } = decodeJwt(
    tokenIn(await readInput(file, 'no token: name a file, or pipe the token to standard input.')),
  )
  if (typeof claims.jti === 'string') return claims.jti
  throw new CliError(EXIT.usage, 'the token has no claim "jti". Revoke all tokens of its key: --key <id>.')
}

/** Renamed into its place: Envoy reads a file when it is moved there. */
async function writeEnvoyFile(path: string, listed: readonly TokenRevocation[]): Promise<void> {
  const version = String(Math.floor(systemClock.wallMs()))
  const temporary = `${path}.${process.pid}.tmp`
  try {
    await writeFile(temporary, JSON.stringify(denyFilterFile(version, listed)), { mode: 0o644 })
    await rename(temporary, path)
  } catch (error) {
    throw new CliError(
      EXIT.usage,
      `${path} cannot be written (${(error as NodeJS.ErrnoException).code ?? 'unknown error'}).`,
    )
  }
}
