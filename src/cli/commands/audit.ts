import type { Command } from 'commander'
import { collect, parseWholeNumber } from '../field-options.ts'
import { moment, type View } from '../output.ts'
import { action, listVerb, noun, resultVerb, verb } from '../verb.ts'

interface AuditEvent {
  id: number
  at: string
  actor: string
  action: string
  outcome: string
  target_kind: string
  target_id: string
  tenant: string | null
}

const VIEW: View<AuditEvent> = {
  plural: 'audit events',
  id: event => String(event.id),
  columns: [
    { title: 'ID', of: event => String(event.id) },
    { title: 'AT', of: event => moment(event.at) },
    { title: 'ACTOR', of: event => event.actor, cut: true },
    { title: 'ACTION', of: event => event.action },
    { title: 'OUTCOME', of: event => event.outcome, state: true },
    { title: 'TARGET', of: event => `${event.target_kind} ${event.target_id}`, cut: true },
    { title: 'TENANT', of: event => event.tenant ?? '-', cut: true },
  ],
}

/** By the name of the API's query parameter: the option's value, and its meaning. */
const FILTERS = {
  actor: ['<id>', 'who asked'],
  action: ['<name>', 'what was done, such as key.revoke'],
  target: ['<id>', 'to what'],
  tenant: ['<id>', 'which tenant it concerned'],
  from: ['<time>', 'at this time or later'],
  to: ['<time>', 'before this time'],
}

export function auditCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const audit = noun(program, 'audit', {
    summary: 'the audit trail: who changed what, as a chain that shows tampering',
    details: 'What it is and what it cannot show: docs/guides/audit.md.',
    examples: ['mintmark audit list --tenant acme', 'mintmark audit export > trail.ndjson'],
  })
  read(audit, environment)
  checkpoint(audit, environment)
  verify(audit, environment)
  prune(audit, environment)
}

function read(audit: Command, environment: NodeJS.ProcessEnv): void {
  const list = withFilters(
    listVerb(audit, 'list', {
      summary: 'list audit events, newest first',
      examples: [
        'mintmark audit list --limit 20',
        'mintmark audit list --target key_7Hq2kd9XwP3mZt5B -o json',
      ],
    }),
  )
  list.action(
    action(environment, async ({ admin, output }) => {
      await output.list(
        await admin.list<AuditEvent>('/audit-events', list.opts().limit, filterOf(list)),
        VIEW,
      )
    }),
  )
  const all = withFilters(
    verb(audit, 'export', {
      summary: 'print audit events as NDJSON, oldest first',
      details: 'One JSON object a line. Each export is an audit event itself, which the next one has in it.',
      examples: ['mintmark audit export > trail.ndjson', 'mintmark audit export --from 2026-11-01T00:00:00Z'],
    }),
  )
  all.action(
    action(environment, async ({ admin }) => {
      const query = new URLSearchParams(filterOf(all))
      for await (const part of admin.lines(`/audit-events/export?${query}`)) process.stdout.write(part)
    }),
  )
}

function checkpoint(audit: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(audit, 'checkpoint', {
    summary: 'print a signed statement of where the trail ends now, to keep elsewhere',
    details:
      'A JWS. Kept where the owner of the database cannot reach it, it shows that the trail was rewritten or cut.',
    examples: ['mintmark audit checkpoint >> /mnt/elsewhere/checkpoints'],
    quiet: 'print only the JWS',
  }).action(
    action(environment, async ({ admin, output }) => {
      const made = await admin.get<{ id: number; jws: string; key_thumbprint: string }>('/audit-checkpoint')
      await output.either({ text: made.jws, json: made, id: made.jws })
      output.note(`The trail up to row ${made.id}, signed with the key ${made.key_thumbprint}.`)
    }),
  )
}

function verify(audit: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(audit, 'verify', {
    summary: 'verify the trail in a database, or an export of it',
    details:
      'The database is the one of MIGRATE_DATABASE_URL or DATABASE_URL; reading is enough. Checkpoints are trusted ' +
      'when they are signed with a key that --key names, or that comes from MINTMARK_ENCRYPTION_KEYS; without ' +
      'either, because of the place that they come from. Exit code 3: it does not verify.',
    examples: [
      'DATABASE_URL_FILE=/run/secrets/url mintmark audit verify --checkpoint /mnt/elsewhere/checkpoints',
      'mintmark audit export | mintmark audit verify --file -',
    ],
    quiet: 'print only the place of the last row',
  })
    .option('--file <file>', 'an export without a filter, in place of the database; "-" is standard input')
    .option('--checkpoint <file>', 'checkpoints, one a line (repeatable)', collect)
    .option('--key <thumbprint>', 'a key that checkpoints may be signed with (repeatable)', collect)
  command.action(
    action(environment, async ({ output }) => {
      await (await import('./audit-verify.ts')).verifyAudit(environment, command.opts(), output)
    }),
  )
}

function prune(audit: Command, environment: NodeJS.ProcessEnv): void {
  const command = verb(audit, 'prune', {
    summary: 'let old audit events go, as the owner role in MIGRATE_DATABASE_URL',
    details: 'The rest goes on verifying, and has a row that says what went. Export them first.',
    examples: ['MIGRATE_DATABASE_URL_FILE=/run/secrets/owner-url mintmark audit prune --older-than-days 400'],
  }).requiredOption('--older-than-days <n>', 'how old they are at least; 90 or more', parseWholeNumber)
  command.action(
    action(environment, async () => {
      await (await import('./audit-verify.ts')).pruneAudit(environment, command.opts().olderThanDays)
    }),
  )
}

function withFilters(command: Command): Command {
  for (const [name, [value, meaning]] of Object.entries(FILTERS))
    command.option(`--${name} ${value}`, meaning)
  return command
}

function filterOf(command: Command): Record<string, string> {
  const given: Record<string, string> = command.opts()
  return Object.fromEntries(Object.entries(given).filter(([name]) => name in FILTERS))
}
