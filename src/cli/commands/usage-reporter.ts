import type { Command } from 'commander'
import { path } from '../admin-client.ts'
import { irreversible } from '../confirmation.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { bodyOf, list, overlap, replaced, text, time } from '../field-options.ts'
import { readInput } from '../input.ts'
import { day, moment, type View } from '../output.ts'
import { action, conditional, getVerb, listVerb, noun, repeatable, resultVerb, show } from '../verb.ts'

interface UsageReporter {
  id: string
  name: string
  audiences: string[]
  state: string
  created_at: string
}

const VIEW: View<UsageReporter> = {
  plural: 'usage reporters',
  id: reporter => reporter.id,
  columns: [
    { title: 'ID', of: reporter => reporter.id },
    { title: 'NAME', of: reporter => reporter.name, cut: true },
    { title: 'AUDIENCES', of: reporter => reporter.audiences.join(' '), cut: true },
    { title: 'STATE', of: reporter => reporter.state, state: true },
    { title: 'CREATED', of: reporter => day(reporter.created_at) },
  ],
}

interface IssuedSecret extends UsageReporter {
  secret: string
  older_secret_ends_at: string | null
}

const LIST = '/usage-reporters'

export function usageReporterCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const parent = noun(program, 'usage-reporter', {
    summary: 'gateways and collectors that report usage',
    examples: ['mintmark usage-reporter create --name "envoy in eu-1" --audience vllm'],
  })
  create(parent, environment)
  rotate(parent, environment)
  correctionVerbs(parent, environment)
  const all = listVerb(parent, 'list', {
    summary: 'list usage reporters, newest first',
    examples: ['mintmark usage-reporter list'],
  })
  all.action(
    action(environment, async ({ admin, output }) => {
      await output.list(await admin.list<UsageReporter>(LIST, all.opts().limit), VIEW)
    }),
  )
  getVerb(parent, 'get <reporter>', {
    summary: 'show a usage reporter, without its secret',
    examples: ['mintmark usage-reporter get rep_6Yw2Hs8KqR4nVb1C'],
  }).action(
    action<[id: string]>(environment, (invocation, id) =>
      show<UsageReporter>(invocation, LIST + path`/${id}`, VIEW),
    ),
  )
  inspect(parent, environment)
  const remove = resultVerb(parent, 'delete <reporter>', {
    summary: 'delete a usage reporter; its totals stay',
    details: 'Its secret is rejected from now on.',
    examples: ['mintmark usage-reporter delete rep_6Yw2Hs8KqR4nVb1C'],
  })
  irreversible(conditional(remove)).action(
    action<[id: string]>(environment, async ({ admin, output, confirm }, id) => {
      await confirm({ warning: `This deletes the usage reporter ${id}: its reports are rejected.`, name: id })
      await admin.delete(LIST + path`/${id}`)
      await output.deleted('id', id, `Deleted ${id}.`)
    }),
  )
}

function create(parent: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(parent, 'create', {
    summary: 'create a usage reporter, and print its secret once',
    details:
      'Only the secret is printed on standard output (with -o json: in the field "secret"). It cannot be shown again.',
    examples: ['(umask 077; mintmark usage-reporter create --audience vllm > reporter.secret)'],
    quiet: 'print only the secret',
  })
    .addOption(text('name', '--name <text>', 'display name; need not be unique'))
    .addOption(list('audiences', '--audience <name>', 'an audience of tokens whose usage it may report'))
  repeatable(command).action(
    action(environment, async ({ admin, output }) => {
      const created = await admin.post<UsageReporter & { secret: string }>(LIST, bodyOf(command))
      await output.secret(created, {
        note: `Created ${created.id}. The secret is on standard output, and cannot be shown again.`,
        cure: `Delete it: mintmark usage-reporter delete ${created.id}`,
      })
    }),
  )
}

function rotate(parent: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(parent, 'rotate <reporter>', {
    summary: 'add a new secret to a usage reporter, and print it once',
    details:
      'The old secret stays valid for a day, or for --overlap-seconds. A reporter has at most two live secrets: with two, ' +
      '--replace selects the one to revoke now. The id does not change, so a report that is sent with both is counted once.',
    examples: [
      '(umask 077; mintmark usage-reporter rotate rep_6Yw2Hs8KqR4nVb1C > reporter.secret)',
      'mintmark usage-reporter rotate rep_6Yw2Hs8KqR4nVb1C --overlap-seconds 0',
    ],
    quiet: 'print only the secret',
  })
    .addOption(overlap())
    .addOption(replaced())
  repeatable(conditional(command)).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const rotated = await admin.post<IssuedSecret>(LIST + path`/${id}/rotate`, bodyOf(command))
      const until = rotated.older_secret_ends_at
      const old = until === null ? '' : ` The old one is accepted until ${moment(until)}.`
      await output.secret(rotated, {
        note: `Rotated ${rotated.id}.${old} The secret is on standard output, and cannot be shown again.`,
        cure: `Rotate it again: mintmark usage-reporter rotate ${rotated.id} --replace newest`,
      })
    }),
  )
}

interface Inspected {
  well_formed: boolean
  usage_reporter: UsageReporter | null
  secret_id: string | null
  secret_ends_at: string | null
}

function inspect(parent: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(parent, 'inspect [file]', {
    summary: 'identify the usage reporter that has or had a secret',
    details: 'Reads the secret from a file or standard input.',
    examples: ['mintmark usage-reporter inspect reporter.secret'],
  }).action(
    action<[file: string | undefined]>(environment, async ({ admin, output }, file) => {
      const secret = await readInput(file, 'no secret: name a file, or pipe the secret to standard input.')
      const found = await admin.post<Inspected>(`${LIST}/inspect`, { secret })
      if (found.usage_reporter) {
        const end =
          found.secret_ends_at === null
            ? 'the newest one'
            : `an older one, which ends or ended ${moment(found.secret_ends_at)}`
        return output.object(
          found.usage_reporter,
          VIEW,
          `The string is its secret ${found.secret_id}, ${end}.`,
        )
      }
      await output.json(found)
      throw new CliError(
        EXIT.notFound,
        found.well_formed
          ? 'the string has the form of a secret of a usage reporter, but none has it.'
          : 'the string is not a secret of a usage reporter: its form or checksum is wrong.',
      )
    }),
  )
}

interface Voided {
  requests: number
  input_tokens: number
  output_tokens: number
}

function correctionVerbs(parent: Command, environment: NodeJS.ProcessEnv): void {
  const take = resultVerb(parent, 'void <reporter>', {
    summary: 'take back the usage that a deleted reporter sent since a time',
    details:
      'For a stolen secret: delete the reporter first. In the last hours, for which Mintmark keeps single records, it takes back those ' +
      'that arrived since the time; in older hours, everything from this reporter. Closed months are corrected in the current hour.',
    examples: [
      'mintmark usage-reporter void rep_6Yw2Hs8KqR4nVb1C --since 2026-11-24T09:00:00Z --reason stolen',
    ],
  })
    .addOption(
      time('since', '--since <time>', 'what was received from this time on', 'ago').makeOptionMandatory(),
    )
    .addOption(text('reason', '--reason <text>', 'reason, for the audit trail').makeOptionMandatory())
  irreversible(take).action(
    action<[id: string]>(environment, async ({ admin, output, confirm }, id) => {
      const warning = `This takes back what the usage reporter ${id} sent.`
      await confirm({ warning, name: id })
      const json = await admin.post<Voided>(LIST + path`/${id}/void`, bodyOf(take))
      const { requests, input_tokens: input, output_tokens: written } = json
      const shown = `Took back ${requests} requests, ${input} input tokens and ${written} output tokens.`
      await output.either({ text: shown, json, id })
    }),
  )
  const close = resultVerb(parent, 'close-month <month>', {
    summary: 'close a month and all before it: their totals never change again',
    details: 'Months close by themselves once their records are too old to be reported.',
    examples: ['mintmark usage-reporter close-month 2026-10'],
  })
  irreversible(close).action(
    action<[month: string]>(environment, async ({ admin, output, confirm }, month) => {
      await confirm({ warning: `This closes ${month} and all months before it.`, name: month })
      const json = await admin.post<{ closed_before: string }>('/usage/close', { month })
      await output.either({ text: `Months before ${json.closed_before} are closed.`, json, id: month })
    }),
  )
}
