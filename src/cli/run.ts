import { CommanderError } from 'commander'
import { CliError, EXIT } from './exit-codes.ts'
import { explain } from './explain.ts'
import { printError } from './output.ts'
import { createProgram } from './program.ts'
import { refuseSecrets } from './secrets-in-arguments.ts'

/** Runs the command in the arguments and sets the exit status of the process. */
export async function run(): Promise<void> {
  // A reader that closed the pipe (`| head`) must not end the service in the middle of a step.
  process.stdout.on('error', error => {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EPIPE') return
    printError(`standard output cannot be written (${code}).`)
    process.exitCode = EXIT.fault
  })
  try {
    refuseSecrets(process.argv.slice(2))
    await createProgram(process.env).parseAsync()
  } catch (error) {
    process.exitCode = report(error)
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed it: help and version are successes, everything else is a usage error.
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  }
  if (error instanceof CliError) printError(error.message, error.details)
  else printError(explain(error))
  return error instanceof CliError ? error.exitCode : EXIT.fault
}
