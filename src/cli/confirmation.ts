import type { Command } from 'commander'
import { CliError, EXIT } from './exit-codes.ts'
import { ask, canAsk } from './prompt.ts'
import { confirmedByDefault } from './settings.ts'
import { streams } from './streams.ts'
import { printable } from './terminal-text.ts'

/** What cannot be undone, and what has to be typed to confirm it: the name or id of the object. */
export interface Irreversible {
  /** A sentence: "This deletes the tenant acme permanently." */
  warning: string
  name: string
}

/** Adds `--yes` to a verb that cannot be undone; its action calls `confirm` of its invocation. */
export function irreversible(command: Command): Command {
  return command.option('-y, --yes', 'do not ask for confirmation')
}

/** Whether `--yes` or MINTMARK_YES is set. */
export const isConfirmed = (command: Command, environment: NodeJS.ProcessEnv): boolean =>
  command.opts().yes === true || confirmedByDefault(environment)

/**
 * Asks for the name on a terminal. @throws {CliError} for another answer, and without a terminal, unless --yes is given.
 */
export async function confirm(
  command: Command,
  environment: NodeJS.ProcessEnv,
  { warning, name }: Irreversible,
): Promise<void> {
  if (isConfirmed(command, environment)) return
  if (!canAsk()) {
    throw new CliError(
      EXIT.usage,
      `not confirmed: nothing was done. ${warning} Without a terminal to ask on, add --yes.`,
    )
  }
  streams().stderr.write(`${printable(warning)} It cannot be undone.\n`)
  const answer = await ask(`Type "${printable(name)}" to confirm: `)
  if (answer?.trim() === name) return
  throw new CliError(EXIT.usage, 'not confirmed: nothing was done.')
}
