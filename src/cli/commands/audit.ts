import type { Command } from 'commander'
import { irreversible } from '../confirmation.ts'
import { collect } from '../field-options.ts'
import { moment, type View } from '../output.ts'
import { streams } from '../streams.ts'
import { parseDays, parseTime } from '../time-arguments.ts'
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
  actor: ['<id>', 'caller: root, system, unknown, or the id of an admin token or a key'],
  action: ['<name>', 'action, such as key.revoke'],
  target: ['<id>', 'id of the object'],
  tenant: ['<id>', 'id of the tenant'],
  from: ['<time>', 'events at or after this time'],
  to: ['<time>', 'events before this time'],
}

export function auditCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const audit = noun(program, 'audit', {
    summary: 'the audit trail: who changed what, as a tamper-evident chain',
    details: 'See docs/guides/audit.md.',
    examples: ['mintmark audit list --tenant acme', 'mintmark audit export > trail.ndjson'],
  })
  read(audit, environment)
  checkpoint(audit, environment)
  verify(audit, environment)
  continueAfterRestore(audit, environment)
  prune(audit, environment)
}

function read(audit: Command, environment: NodeJS.ProcessEnv): void {
  const list = withFilters(
    listVerb(audit, 'list', {
      summary: 'list audit events, newest first',
      examples: [
        'mintmark audit list --from 24h',
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
      details:
        'One JSON object per line. Each export is itself an audit event, which the next export contains.',
      examples: ['mintmark audit export > trail.ndjson', 'mintmark audit export --from 2026-11-01T00:00:00Z'],
    }),
  )
  all.action(
    action(environment, async ({ admin }) => {
      const query = new URLSearchParams(filterOf(all))
      for await (const part of admin.lines(`/audit-events/export?${query}`)) streams().stdout.write(part)
    }),
  )
}

function checkpoint(audit: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(audit, 'checkpoint', {
    summary: 'print a signed checkpoint of the trail, to store elsewhere',
    details:
      'The checkpoint is a JWS. Store it where the owner of the database cannot change it: it then proves later changes to the trail.',
    examples: ['mintmark audit checkpoint >> /mnt/elsewhere/checkpoints'],
    quiet: 'print only the JWS',
  }).action(
    action(environment, async ({ admin, output }) => {
      const checkpoint = await admin.get<{ id: number; jws: string; key_thumbprint: string }>(
        '/audit-checkpoint',
      )
      await output.either({ text: checkpoint.jws, json: checkpoint, id: checkpoint.jws })
      output.note(`Checkpoint of row ${checkpoint.id}, signed with the key ${checkpoint.key_thumbprint}.`)
    }),
  )
}

function verify(audit: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(audit, 'verify', {
    summary: 'verify the trail in a database, or an export of it',
    details:
      'Uses the database in MIGRATE_DATABASE_URL or DATABASE_URL, and only reads. Checkpoints are trusted ' +
      'if they are signed with a key in --key, or one derived from MINTMARK_ENCRYPTION_KEYS; without ' +
      'either, their file is trusted. Exit code 3: the trail does not verify.',
    examples: [
      'DATABASE_URL_FILE=/run/secrets/url mintmark audit verify --checkpoint /mnt/elsewhere/checkpoints',
      'mintmark audit export | mintmark audit verify --file -',
    ],
    quiet: 'print only the position of the last row',
  })
    .option('--file <file>', 'verify this unfiltered export instead of the database; "-" is standard input')
    .option('--checkpoint <file>', 'file with checkpoints, one per line (repeatable)', collect)
    .option('--key <thumbprint>', 'thumbprint of a trusted checkpoint key (repeatable)', collect)
  command.action(
    action(environment, async ({ output }) => {
      await (await import('./audit-verify.ts')).verifyAudit(environment, command.opts(), output)
    }),
  )
}

function continueAfterRestore(audit: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(audit, 'continue', {
    summary: 'after a restore of the database: sign a statement of the checkpoints that it contradicts',
    details:
      'Checkpoints of rows that a restore lost contradict the trail. The command compares them with the database in ' +
      'MIGRATE_DATABASE_URL or DATABASE_URL, verifies the trail without them, and prints a line signed with a key that is ' +
      'derived from MINTMARK_ENCRYPTION_KEYS, which the database does not have. Append it to the file of checkpoints: "audit verify" then ' +
      'continues. Use it only for a restore that you know of: a trail that was cut looks the same.',
    examples: [
      'mintmark audit continue --checkpoint /mnt/elsewhere/checkpoints --reason "restored the dump of 03:00" >> /mnt/elsewhere/checkpoints',
    ],
    quiet: 'print only the JWS',
  })
    .requiredOption('--checkpoint <file>', 'file with checkpoints, one per line (repeatable)', collect)
    .requiredOption('--reason <text>', 'which restore, and why')
  command.action(
    action(environment, async ({ output }) => {
      await (await import('../audit/audit-continue.ts')).continueAudit(environment, command.opts(), output)
    }),
  )
}

function prune(audit: Command, environment: NodeJS.ProcessEnv): void {
  const command = verb(audit, 'prune', {
    summary: 'delete old audit events, with the owner role in MIGRATE_DATABASE_URL',
    details: 'The rest still verifies, and has a row that records the deletion. Export the events first.',
    examples: ['MIGRATE_DATABASE_URL_FILE=/run/secrets/owner-url mintmark audit prune --older-than-days 400'],
  }).requiredOption('--older-than-days <n>', 'minimum age, like 400 or 400d; 90 or more', parseDays)
  irreversible(command).action(
    action(environment, async ({ confirm }) => {
      const { olderThanDays } = command.opts<{ olderThanDays: number }>()
      await confirm({ warning: `This deletes audit events older than ${olderThanDays} days.`, name: 'prune' })
      await (await import('./audit-verify.ts')).pruneAudit(environment, olderThanDays)
    }),
  )
}

function withFilters(command: Command): Command {
  for (const [name, [value = '', meaning = '']] of Object.entries(FILTERS))
    command.option(`--${name} ${value}`, meaning, parserOf(value))
  return command
}

function filterOf(command: Command): Record<string, string> {
  const given: Record<string, string> = command.opts()
  return Object.fromEntries(Object.entries(given).filter(([name]) => name in FILTERS))
}

const parserOf = (value: string) => (value === '<time>' ? parseTime('ago') : (text: string) => text)
