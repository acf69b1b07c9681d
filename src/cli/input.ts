import { CliError, EXIT } from './exit-codes.ts'
import { streams } from './streams.ts'
import { textOf } from './text-file.ts'

/** Far more than a key or a token needs. */
const LONGEST_BYTES = 65_536

/**
 * A key or token from a file, or from standard input when `file` is "-" or absent.
 * @throws {CliError} `instead` says what to do when standard input is a terminal, which would show a secret.
 */
export async function readInput(file = '-', instead: string): Promise<string> {
  if (file === '-' && streams().stdin.isTTY) throw new CliError(EXIT.usage, instead)
  return (await textOf(file, LONGEST_BYTES)).trim()
}
