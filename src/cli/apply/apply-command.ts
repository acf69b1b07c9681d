import { type Command, Option } from 'commander'
import type { AdminClient } from '../admin-client.ts'
import { isConfirmed } from '../confirmation.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { collect } from '../field-options.ts'
import type { Output } from '../output.ts'
import { action, resultVerb, verb } from '../verb.ts'
import type { Plan } from './plan.ts'
import type { SecretOptions } from './secrets/destinations.ts'

interface Options extends SecretOptions {
  filename: string[]
  prune?: true
  adopt?: true
  dryRun?: true
  quiet?: true
  rotate?: string[]
  renameSet?: string
}

/** `mintmark apply`, `diff` and `export`: tenants, keys and the rest as files. docs/guides/apply.md */
export function applyCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  apply(program, environment)
  diff(program, environment)
  exportSet(program, environment)
}

function apply(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = withFiles(
    resultVerb(program, 'apply', {
      summary: 'change tenants, keys and other objects to match files',
      details:
        'The files are YAML, with one object in each document, of one named set. Shows what differs, and changes only that. Can be ' +
        'repeated and interrupted at any time. An object of another set is never changed. Guide: docs/guides/apply.md.',
      examples: [
        'mintmark apply -f production/ --dry-run',
        'mintmark apply -f production/ --prune --yes',
        'mintmark apply -f production/ --write-secret --kubeconfig ~/.kube/config',
      ],
      quiet: 'print only what was changed',
    }),
  )
    .option('--dry-run', 'only show the plan')
    .option('--yes', 'also do what cannot be undone: delete tenants, revoke keys')
  command.action(
    action(environment, async ({ admin, output }) => {
      const options = command.opts<Options>()
      const plan = await planOf(environment, admin, output, options)
      if (options.dryRun) return show(output, plan, options.quiet)
      if (!isConfirmed(command, environment)) refuseUnconfirmed(plan)
      await show(output, plan, options.quiet)
      const { performWhole } = await import('./perform.ts')
      const { titleOf } = await import('./plan-text.ts')
      await performWhole(admin, plan, {
        done: step => output.note(`Done: ${titleOf(step)}.`),
        again: async why => {
          output.note(`${why.message} Reading the installation again, to continue.`)
          const rest = await planOf(environment, admin, output, options)
          if (!isConfirmed(command, environment)) refuseUnconfirmed(rest)
          return rest
        },
      })
      if (plan.steps.length > 0) output.note('The installation is as the files say.')
    }),
  )
}

function diff(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = withFiles(
    resultVerb(program, 'diff', {
      summary: 'show what "apply" would change',
      details: 'Changes nothing. Exit code 0: nothing differs, 7: something does.',
      examples: ['mintmark diff -f production/'],
      quiet: 'print only what differs',
    }),
  )
  command.action(
    action(environment, async ({ admin, output }) => {
      const options = command.opts<Options>()
      const plan = await planOf(environment, admin, output, options)
      await show(output, plan, options.quiet)
      if (plan.steps.length > 0) throw new CliError(EXIT.differs, 'the installation is not as the files say.')
    }),
  )
}

function exportSet(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = verb(program, 'export', {
    summary: 'print tenants, keys and other objects as files for "apply"',
    details:
      'Without --set everything that can be declared, as a set named by --name. Secrets are not exported: they are not stored.',
    examples: ['mintmark export > production.yaml', 'mintmark export --set production > production.yaml'],
  })
    .option('--set <name>', 'only the objects of this set')
    .addOption(new Option('--name <name>', 'name of the set in the output').default('main').conflicts('set'))
  command.action(
    action(environment, async ({ admin }) => {
      const { exportText } = await import('./export.ts')
      const { set, name } = command.opts<{ set?: string; name: string }>()
      const { streams } = await import('../streams.ts')
      streams().stdout.write(await exportText(admin, { only: set, name: set ?? name }))
    }),
  )
}

const withFiles = (command: Command): Command =>
  command
    .requiredOption(
      '-f, --filename <path>',
      'file, or folder with .yaml files; "-" is standard input (repeatable)',
      collect,
    )
    .option('--prune', 'delete what the set created and the files do not have any more')
    .option('--adopt', 'take over objects of no set that the files name')
    .option('--rename-set <name>', 'the set had this name before: its objects stay in it')
    .option('--write-secret', 'create and rotate secrets, and write them where "write_secret" says')
    .option(
      '--rotate <name>',
      'rotate the secret of this key or usage reporter now, like acme/ci or usage_reporters/envoy (repeatable)',
      collect,
    )
    .option('--secret-folder <path>', 'folder of the files of "write_secret"')
    .option('--kubeconfig <file>', 'how to reach the API server, instead of the service account of the pod')
    .option('--context <name>', 'context of the kubeconfig (default: its current one)')

async function planOf(
  environment: NodeJS.ProcessEnv,
  admin: AdminClient,
  output: Output,
  options: Options,
): Promise<Plan> {
  const { readDocuments } = await import('./documents.ts')
  const { declaredSet } = await import('./declared-set.ts')
  const { adoptions, makePlan } = await import('./plan.ts')
  const { destinations, rotationName } = await import('./secrets/destinations.ts')
  const { systemClock } = await import('../../system/clock.ts')
  const set = declaredSet(await readDocuments(options.filename, text => output.note(text)))
  const rotate = options.rotate ?? []
  const places = options.writeSecret ? await destinations(environment, set, options) : undefined
  const placed = set.objects.filter(({ kind, name }) => places?.has(`${kind} ${name}`)).map(rotationName)
  const unknown = rotate.filter(name => !placed.includes(name))
  if (unknown.length > 0)
    throw new CliError(
      EXIT.usage,
      `--rotate needs --write-secret, and keys or usage reporters with "write_secret" in the files: ${unknown.join(', ')}.`,
    )
  const plan = await makePlan(admin, set, {
    prune: options.prune ?? false,
    rotate,
    destinations: places,
    nowMs: systemClock.wallMs(),
    renamedFrom: options.renameSet,
  })
  const adopted = options.adopt ? [] : adoptions(plan)
  if (adopted.length > 0)
    throw new CliError(
      EXIT.conflict,
      'these objects exist and belong to no set. To take them over: --adopt. Nothing was changed.',
      adopted.map(({ kind, name, document }) => `${document?.at() ?? ''}: ${kind} ${name}`),
    )
  return plan
}

function refuseUnconfirmed({ steps }: Plan): void {
  const lasting = steps.filter(step => step.lasting !== undefined)
  if (lasting.length === 0) return
  throw new CliError(
    EXIT.usage,
    'the plan has changes that cannot be undone. To carry it out: --yes. Nothing was changed.',
    lasting.map(({ action: what, kind, name, lasting: why }) => `${what} ${kind} ${name}: ${why}`),
  )
}

async function show(output: Output, plan: Plan, quiet = false): Promise<void> {
  if (quiet && plan.steps.length === 0) return
  const { planJson, planText, titleOf } = await import('./plan-text.ts')
  await output.either({
    text: planText(plan),
    json: planJson(plan),
    id: plan.steps.map(titleOf).join('\n'),
  })
}
