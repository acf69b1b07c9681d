import { Command } from 'commander'
import { ConfigError } from '../config/env.ts'
import { configurationTable, printConfig } from './commands/config.ts'
import { runMigrations } from './commands/migrate.ts'
import { quickstart } from './commands/quickstart.ts'
import { serve } from './commands/serve.ts'

/** cli/ is the `mintmark` command: one file for each subcommand, and this one, which names them. */

const program = new Command('mintmark')
  .description("Exchanges a tenant's API key for a short-lived JWT that any gateway verifies by itself.")
  .showHelpAfterError()

program
  .command('serve')
  .description('run the service')
  .action(() => serve(process.env))

program
  .command('quickstart')
  .description('run the service on an embedded database, and show an exchange from beginning to end')
  .option('--exit', 'stop after showing it')
  .action((options: { exit?: boolean }) => quickstart(process.env, { exit: options.exit ?? false }))

program
  .command('migrate')
  .description('bring the schema up to date, as the owner role in MIGRATE_DATABASE_URL')
  .action(() => runMigrations(process.env))

program
  .command('config')
  .description('print the effective configuration, without secrets')
  .option('--table', 'print the documentation of all variables instead, as a Markdown table')
  .action((options: { table?: boolean }) => {
    if (options.table) process.stdout.write(`${configurationTable()}\n`)
    else printConfig(process.env)
  })

// A reader that has seen enough (`| head`) must not end the service in the middle of a step.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
})

try {
  await program.parseAsync()
} catch (error) {
  const { message, stack } = error as Error
  process.stderr.write(
    `mintmark: ${error instanceof ConfigError || process.env.LOG_LEVEL !== 'debug' ? message : stack}\n`,
  )
  process.exitCode = 1
}
