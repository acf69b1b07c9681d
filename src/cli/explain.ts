import { CannotStart } from '../errors.ts'
import { CliError } from './exit-codes.ts'

/**
 * Expected errors are printed by their message; anything else is a bug and is printed with its stack and causes. Other
 * fields of an error are left out, because they may contain a password: Node stores the whole of an invalid URL there.
 */
export function explain(error: unknown, environment: NodeJS.ProcessEnv): string {
  const foreseen = error instanceof CannotStart || error instanceof CliError
  if (foreseen && environment.LOG_LEVEL !== 'debug') return error.message
  const stacks: string[] = []
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    stacks.push(cause.stack ?? cause.message)
  return stacks.length > 0 ? stacks.join('\ncaused by: ') : String(error)
}
