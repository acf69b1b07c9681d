import type { Command } from 'commander'
import { path } from '../admin-client.ts'
import { bodyOf, list, text } from '../field-options.ts'
import { day, type View } from '../output.ts'
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

const LIST = '/usage-reporters'

export function usageReporterCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const parent = noun(program, 'usage-reporter', {
    summary: 'gateways and collectors that report usage',
    examples: ['mintmark usage-reporter create --name "envoy in eu-1" --audience vllm'],
  })
  create(parent, environment)
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
  const remove = resultVerb(parent, 'delete <reporter>', {
    summary: 'delete a usage reporter; its totals stay',
    details: 'Its secret is rejected from now on.',
    examples: ['mintmark usage-reporter delete rep_6Yw2Hs8KqR4nVb1C'],
  })
  conditional(remove).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
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
      const made = await admin.post<UsageReporter & { secret: string }>(LIST, bodyOf(command))
      await output.secret(made, {
        note: `Created ${made.id}. The secret is on standard output, and cannot be shown again.`,
        cure: `Delete it: mintmark usage-reporter delete ${made.id}`,
      })
    }),
  )
}
