import { CommanderError } from 'commander'
import { withoutAliases } from './aliases.ts'
import { withDashedIds } from './dashed-ids.ts'
import { CliError, EXIT } from './exit-codes.ts'
import { explain } from './explain.ts'
import { printError } from './output.ts'
import { createProgram } from './program.ts'
import { refuseSecrets } from './secrets-in-arguments.ts'

/** Runs the command in the arguments of the process, and sets its exit status. */
export async function runHere(): Promise<void> {
  // A reader that closed the pipe (`| head`) must not end the service in the middle of a step.
  process.stdout.on('error', error => {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EPIPE') return
    printError(`standard output cannot be written (${code}).`)
    process.exitCode = EXIT.fault
  })
  const status = await run(process.argv.slice(2), process.env)
  if (status !== EXIT.ok) process.exitCode = status
}

/** Runs `mintmark` with these arguments, and returns the exit status. */
export async function run(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  try {
    refuseSecrets(args)
    const program = createProgram(environment)
    await program.parseAsync(withDashedIds(program, withoutAliases(program, args)), { from: 'user' })
    return EXIT.ok
  } catch (error) {
    return report(error, environment)
  }
}

function report(error: unknown, environment: NodeJS.ProcessEnv): number {
  if (error instanceof CommanderError) {
    // Commander has printed it: help and version are successes, everything else is a usage error.
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  }
  if (error instanceof CliError) printError(error.message, error.details)
  else printError(explain(error, environment))
  return error instanceof CliError ? error.exitCode : EXIT.fault
}
