import { styleText } from 'node:util'
import { Command } from 'commander'
import { packageVersion } from '../system/package-version.ts'
import { withOptionSuggestion } from './aliases.ts'
import { applyCommands } from './apply/apply-command.ts'
import { adapterCommands } from './commands/adapter.ts'
import { adminTokenCommands } from './commands/admin-token.ts'
import { aibrixCommands } from './commands/aibrix.ts'
import { auditCommands } from './commands/audit.ts'
import { contextCommands } from './commands/context/context.ts'
import { loginCommand } from './commands/context/login.ts'
import { whoamiCommand } from './commands/context/whoami.ts'
import { doctorCommand } from './commands/doctor.ts'
import { emergencyCommands } from './commands/emergency.ts'
import { explainCommand } from './commands/explain.ts'
import { gatewayCommands } from './commands/gateway.ts'
import { identityCommands } from './commands/identity.ts'
import { importCommand } from './commands/import.ts'
import { installationCommands } from './commands/installation.ts'
import { keyCommands } from './commands/key/key.ts'
import { modelCommands } from './commands/model.ts'
import { reportCommands } from './commands/report.ts'
import { restoreCommands } from './commands/restore.ts'
import { signingKeyCommands } from './commands/signing-key.ts'
import { syncCommand } from './commands/sync.ts'
import { tenantCommands } from './commands/tenant.ts'
import { tierCommands } from './commands/tier.ts'
import { tokenCommands } from './commands/token/token.ts'
import { usageCommands } from './commands/usage.ts'
import { usageReporterCommands } from './commands/usage-reporter.ts'
import { completionCommand } from './completion/completion.ts'
import { printError } from './output.ts'
import { streams } from './streams.ts'
import { action, resultVerb, verb } from './verb.ts'

const FOOTER = `
Administration talks to a running service: the one of "mintmark login", or of
MINTMARK_URL (otherwise http://127.0.0.1:8081) and MINTMARK_ADMIN_TOKEN or
MINTMARK_ADMIN_TOKEN_FILE. "mintmark whoami" shows which, and as whom.
No secret is ever given on the command line.

Examples:
  $ mintmark quickstart
  $ export MINTMARK_ADMIN_TOKEN_FILE=keys/root-token
  $ mintmark tenant create blue --tier batch
  $ mintmark key create blue --name ci | mintmark token get | mintmark token inspect

Exit codes: 0 ok, 1 fault, 2 usage, 3 refused, 4 not found, 5 invalid or
conflict, 6 unavailable, 7 differs ("mintmark diff").`

/** The whole command line. Errors are thrown (exitOverride), so that only run.ts ends the process. */
export function createProgram(environment: NodeJS.ProcessEnv): Command {
  const program = new Command('mintmark')
    // Options belong to the command before them: "import" has some, and so have its commands.
    .enablePositionalOptions()
    .description("Exchanges a tenant's API key for a short-lived JWT that gateways verify by themselves.")
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpText('after', FOOTER)
    .configureHelp({
      styleTitle: title => styleText('bold', title, { validateStream: false }),
      // Without "[options]", which every command has.
      subcommandTerm: command =>
        [command.name(), command.usage().replace('[options]', '').trim()].join(' ').trim(),
    })

    .configureOutput({
      writeOut: text => streams().stdout.write(text),
      writeErr: text => streams().stderr.write(text),
      outputError: text => printError(withoutValues(text)),
    })
    .exitOverride()
  program.commandsGroup('Service:')
  serviceCommands(program, environment)
  program.commandsGroup('Administration:')
  for (const commands of [
    tenantCommands,
    keyCommands,
    tierCommands,
    modelCommands,
    adapterCommands,
    signingKeyCommands,
    aibrixCommands,
    installationCommands,
    adminTokenCommands,
    auditCommands,
    importCommand,
    usageCommands,
    usageReporterCommands,
    reportCommands,
    identityCommands,
    applyCommands,
    gatewayCommands,
  ]) {
    commands(program, environment)
  }
  program.commandsGroup('Server and credentials:')
  loginCommand(program, environment)
  whoamiCommand(program, environment)
  contextCommands(program, environment)
  program.commandsGroup('Tokens:')
  tokenCommands(program, environment)
  explainCommand(program, environment)
  doctorCommand(program, environment)
  program.commandsGroup('Kubernetes:')
  syncCommand(program, environment)
  program.commandsGroup('Help:')
  completionCommand(program, environment)
  program.helpCommand('help [command]', 'show help for a command')
  pointToHelp(program, 'mintmark')
  return program
}

/** Their modules are loaded on demand: the other commands start without a database driver or a web server. */
function serviceCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  verb(program, 'serve', {
    summary: 'run the service',
    details: 'Configured by environment variables: see "mintmark config".',
    examples: ['mintmark serve'],
  }).action(async () => (await import('./commands/serve.ts')).serve(environment))

  verb(program, 'quickstart', {
    summary: 'run the service on an embedded database, and show an exchange step by step',
    examples: ['mintmark quickstart', 'mintmark quickstart --exit'],
  })
    .option('--exit', 'stop afterwards')
    .action(async (options: { exit?: boolean }) =>
      (await import('./commands/quickstart.ts')).quickstart(environment, { exit: options.exit ?? false }),
    )

  verb(program, 'migrate', {
    summary: 'migrate the database schema, with the owner role in MIGRATE_DATABASE_URL',
    examples: ['MIGRATE_DATABASE_URL_FILE=/run/secrets/owner-url mintmark migrate'],
  }).action(async () => (await import('./commands/migrate.ts')).runMigrations(environment))

  const seal = resultVerb(program, 'seal', {
    summary: 'seal the rows that a version before 0.3 wrote, once, after "migrate"',
    details:
      'Signing keys and imported secrets carry a seal, and are not used without one. The command needs the database in ' +
      'MIGRATE_DATABASE_URL or DATABASE_URL, and the MINTMARK_ENCRYPTION_KEYS and MINTMARK_PEPPERS of the service. It lists ' +
      'what it would seal, with the thumbprints of public keys; compare them with the published JWKS, then add --yes and ' +
      '--expect with the digest of the list. A row that it refuses is named, and stays unused. Exit code 3: it refused some.',
    examples: ['mintmark seal', 'mintmark seal --yes'],
  })
    .option('--yes', 'seal the rows, instead of only listing them')
    .option('--expect <digest>', 'seal nothing if the list differs from the one with this digest')
    .option(
      '--accept-unproven',
      'also seal signing keys without a private key, and imported secrets that the audit trail does not have',
    )
  seal.action(
    action(environment, async ({ output }) =>
      (await import('./commands/seal.ts')).sealRows(environment, seal.opts(), output),
    ),
  )

  emergencyCommands(program, environment)
  restoreCommands(program, environment)

  verb(program, 'config', {
    summary: 'print the effective configuration, without secrets',
    examples: ['mintmark config', 'mintmark config --sources', 'mintmark config --table'],
  })
    .option('--table', 'print the documentation of all variables instead, as a Markdown table')
    .option('--sources', 'print where the value of each variable comes from instead')
    .action(async (options: { table?: boolean; sources?: boolean }) => {
      const { configurationTable, printConfig, printSources } = await import('./commands/config.ts')
      if (options.table) streams().stdout.write(`${configurationTable()}\n`)
      else if (options.sources) printSources(environment)
      else printConfig(environment)
    })
}

/** After a usage error one line, not the whole help. */
function pointToHelp(command: Command, name: string): void {
  command.showHelpAfterError(`Run "${name} --help".`)
  for (const child of command.commands) pointToHelp(child, `${name} ${child.name()}`)
}

/** Commander repeats an unknown option as given, and the part after "=" may be a secret. */
function withoutValues(text: string): string {
  const known = text.replace(/^error: /, '').trimEnd()
  return withOptionSuggestion(known.replace(/unknown option '(--[^'=]*|-.)[\s\S]*'/, "unknown option '$1'"))
}
