import { CannotStart } from '../errors.ts'
import { CliError } from './exit-codes.ts'

/**
 * What was foreseen is said in its own words; anything else is a fault of ours, whose stack and causes are what we need.
 * Without other fields of an error, which may hold a password: Node puts the whole of a URL that is not valid there.
 */
export function explain(error: unknown): string {
  const foreseen = error instanceof CannotStart || error instanceof CliError
  if (foreseen && process.env.LOG_LEVEL !== 'debug') return error.message
  const stacks: string[] = []
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    stacks.push(cause.stack ?? cause.message)
  return stacks.length > 0 ? stacks.join('\ncaused by: ') : String(error)
}
