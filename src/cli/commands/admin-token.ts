import type { Command } from 'commander'
import { type AdminClient, path } from '../admin-client.ts'
import { irreversible } from '../confirmation.ts'
import { bodyOf, type FieldOption, instantOrNever, list, text } from '../field-options.ts'
import { day, moment, type View } from '../output.ts'
import {
  action,
  changeVerb,
  conditional,
  getVerb,
  listVerb,
  noun,
  repeatable,
  resultVerb,
  show,
} from '../verb.ts'

interface AdminToken {
  id: string
  name: string
  role: string
  tenant: string | null
  audiences: string[] | null
  state: string
  expires_at: string | null
  created_by: string
  last_used_at: string | null
}

const VIEW: View<AdminToken> = {
  plural: 'admin tokens',
  id: token => token.id,
  columns: [
    { title: 'ID', of: token => token.id },
    { title: 'NAME', of: token => token.name, cut: true },
    { title: 'ROLE', of: token => token.role },
    { title: 'TENANT', of: token => token.tenant ?? '-', cut: true },
    { title: 'STATE', of: token => token.state, state: true },
    { title: 'EXPIRES', of: token => day(token.expires_at, 'never') },
    { title: 'LAST USED', of: token => day(token.last_used_at) },
    { title: 'CREATED BY', of: token => token.created_by, optional: true },
  ],
  nulls: { expires_at: 'never' },
}

const ROLES = ['owner', 'operator', 'auditor', 'tenant-admin', 'introspector']

const settings = (): FieldOption[] => [
  text('name', '--name <text>', 'display name; need not be unique'),
  text('tenant', '--tenant <tenant>', 'tenant of a tenant-admin'),
  list('audiences', '--audience <name>', 'audience of the tokens that an introspector may ask about'),
  instantOrNever(
    'expires_at',
    '--expires-at <time>',
    'time of expiry, like 90d or 2027-01-31, or "never" where the policy allows it',
  ),
]

export function adminTokenCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const parent = noun(program, 'admin-token', {
    summary: 'tokens for administrators, each with a role',
    examples: [
      'mintmark admin-token create operator --name ci',
      'mintmark admin-token create tenant-admin --tenant acme',
    ],
  })
  create(parent, environment)
  read(parent, environment)
  revoke(parent, environment)
}

function create(parent: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(parent, 'create <role>', {
    summary: 'create an admin token, and print it once',
    details:
      `The role is one of ${ROLES.join(', ')}. Only the token is printed on standard output (with -o json: in the field "secret"). ` +
      'It cannot be shown again.',
    examples: [
      'mintmark admin-token create operator --name ci --expires-at 90d',
      '(umask 077; mintmark admin-token create tenant-admin --tenant acme > acme-admin.token)',
    ],
    quiet: 'print only the token',
  })
  for (const option of settings()) command.addOption(option)
  repeatable(command).action(
    action<[role: string]>(environment, async ({ admin, output }, role) => {
      const body = { role, ...bodyOf(command) }
      const created = await admin.post<AdminToken & { secret: string }>('/admin-tokens', body)
      const until =
        created.expires_at === null ? 'It does not expire.' : `It expires ${moment(created.expires_at)}.`
      await output.secret(created, {
        note: `Created ${created.id} with the role ${role}. ${until} The token is on standard output, and cannot be shown again.`,
        cure: `Revoke it: mintmark admin-token revoke ${created.id}`,
      })
    }),
  )
}

function read(parent: Command, environment: NodeJS.ProcessEnv): void {
  const all = listVerb(parent, 'list', {
    summary: 'list admin tokens, newest first',
    examples: ['mintmark admin-token list'],
  })
  all.action(
    action(environment, async ({ admin, output }) => {
      await output.list(await admin.list<AdminToken>('/admin-tokens', all.opts().limit), VIEW)
    }),
  )
  getVerb(parent, 'get <token>', {
    summary: 'show an admin token, without its secret',
    examples: ['mintmark admin-token get adm_7Hq2kd9XwP3mZt5B'],
  }).action(
    action<[id: string]>(environment, (invocation, id) =>
      show<AdminToken>(invocation, path`/admin-tokens/${id}`, VIEW),
    ),
  )
}

function revoke(parent: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(parent, 'revoke <token>', {
    summary: 'revoke an admin token permanently, on every replica at once',
    details:
      'With --cascade, what it created is revoked too, directly or through its tokens: admin tokens, keys, and secrets and ' +
      'credentials that it added to other keys. Identity providers and usage reporters stay. It continues until none is left; after an interruption, repeat the command.',
    examples: [
      'mintmark admin-token revoke adm_7Hq2kd9XwP3mZt5B --cascade --dry-run',
      'mintmark admin-token revoke adm_7Hq2kd9XwP3mZt5B --reason "left the team" --cascade',
    ],
  })
    .addOption(text('reason', '--reason <text>', 'reason, stored with each object and in the audit trail'))
    .option('--cascade', 'also revoke what it created: admin tokens, keys, key secrets and credentials')
    .option('--dry-run', 'only show what would be revoked')
  irreversible(conditional(command)).action(
    action<[id: string]>(environment, async ({ admin, output, confirm }, id) => {
      const { cascade = false, dryRun = false } = command.opts<{ cascade?: boolean; dryRun?: boolean }>()
      const body = { ...bodyOf(command), cascade, dry_run: dryRun }
      const place = path`/admin-tokens/${id}/revoke`
      if (dryRun) {
        const json = await admin.post<Rehearsal>(place, body)
        return output.either({ text: rehearsalText(json), json, id })
      }
      const andCreated = cascade ? ', and all tokens, keys, secrets and credentials that it created' : ''
      await confirm({ warning: `This revokes the admin token ${id}${andCreated}.`, name: id })
      const { revoked, note } = await revokeAll(admin, place, body)
      await output.changed(revoked, VIEW, `Revoked ${id}${note}.`)
    }),
  )
}

interface Rehearsal {
  would_revoke: number
  would_revoke_keys: number
  would_revoke_secrets: number
  /** Absent: of a version that deletes none, as `credentials` below. */
  would_delete_credentials?: number
  admin_tokens: { id: string }[]
  keys: { id: string }[]
  secrets: { id: string; key: string }[]
  credentials?: { id: string; key: string }[]
}

interface Cascade {
  admin_tokens: number
  keys: number
  secrets: number
  credentials?: number
  left: number
}

/** One line with the numbers, then one for each object that is named. */
function rehearsalText(would: Rehearsal): string {
  const { would_revoke: tokens, would_revoke_keys: keys, would_revoke_secrets: secrets } = would
  const { would_delete_credentials: credentials = 0 } = would
  const named = [
    ...would.admin_tokens.map(({ id }) => id),
    ...would.keys.map(({ id }) => id),
    ...[...would.secrets, ...(would.credentials ?? [])].map(({ id, key }) => `${id} of ${key}`),
  ]
  return [`Would revoke ${counted(tokens, keys, secrets, credentials)}.`, ...named].join('\n')
}

const counted = (tokens: number, keys: number, secrets: number, credentials: number) =>
  `${tokens} admin tokens, ${keys} keys, and ${secrets} secrets and ${credentials} credentials of other keys`

/** Repeats the request until nothing is left. */
async function revokeAll(admin: AdminClient, place: string, body: object) {
  let part = await admin.post<AdminToken & { cascade?: Cascade }>(place, body)
  if (!part.cascade) return { revoked: part, note: '' }
  const done = { credentials: 0, ...part.cascade }
  while ((part.cascade?.left ?? 0) > 0) {
    part = await admin.unconditional.post<AdminToken & { cascade?: Cascade }>(place, body)
    done.admin_tokens += part.cascade?.admin_tokens ?? 0
    done.keys += part.cascade?.keys ?? 0
    done.secrets += part.cascade?.secrets ?? 0
    done.credentials += part.cascade?.credentials ?? 0
  }
  const revoked = { ...part, cascade: { ...done, left: 0 } }
  return { revoked, note: `, and ${counted(done.admin_tokens, done.keys, done.secrets, done.credentials)}` }
}
