import { readFile } from 'node:fs/promises'
import { CliError, EXIT } from './exit-codes.ts'
import { streams } from './streams.ts'

/** Far more than a key or a token needs. */
const LONGEST_BYTES = 65_536

/**
 * A key or token from a file, or from standard input when `file` is "-" or absent.
 * @throws {CliError} `instead` says what to do when standard input is a terminal, which would show a secret.
 */
export async function readInput(file: string | undefined, instead: string): Promise<string> {
  if (file !== undefined && file !== '-') return readFileText(file)
  if (streams().stdin.isTTY) throw new CliError(EXIT.usage, instead)
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of streams().stdin) {
    chunks.push(Buffer.from(chunk))
    length += chunk.length
    if (length > LONGEST_BYTES)
      throw new CliError(EXIT.usage, 'standard input is too long for a key or a token.')
  }
  return Buffer.concat(chunks).toString('utf8').trim()
}

async function readFileText(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw new CliError(EXIT.usage, `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`)
  }
}
