import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { fileFault } from '../system/file-fault.ts'
import { CliError, EXIT } from './exit-codes.ts'
import { streams } from './streams.ts'

export const shownName = (file: string) => (file === '-' ? 'standard input' : file)

/**
 * The text of a file of at most `bytes`, without a byte order mark. "-" is standard input.
 * @throws {CliError} when it cannot be read, is longer, or is not UTF-8: a character that was replaced would be stored as it is
 */
export async function textOf(file: string, bytes: number): Promise<string> {
  const content = await contentOf(file, bytes)
  if (isUtf8(content)) return content.toString('utf8').replace(/^\uFEFF/, '')
  throw new CliError(EXIT.usage, `${shownName(file)}${notUtf8(content)}. Save it as UTF-8.`)
}

async function contentOf(file: string, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  const source = file === '-' ? streams().stdin : createReadStream(file)
  try {
    for await (const chunk of source) {
      chunks.push(Buffer.from(chunk))
      length += chunk.length
      if (length > bytes) break
    }
  } catch (error) {
    throw new CliError(
      EXIT.usage,
      `${shownName(file)} cannot be read: ${fileFault(error) ?? (error as Error).message}.`,
    )
  }
  if (length > bytes)
    throw new CliError(EXIT.usage, `${shownName(file)} is too long: more than ${bytes} bytes.`)
  return Buffer.concat(chunks)
}

function notUtf8(content: Buffer): string {
  if (['fffe', 'feff'].includes(content.toString('hex', 0, 2))) return ' is UTF-16'
  let line = 1
  for (let start = 0; start <= content.length; line++) {
    const end = content.indexOf(10, start)
    if (!isUtf8(content.subarray(start, end < 0 ? content.length : end)) || end < 0) break
    start = end + 1
  }
  return `:${line} is not UTF-8`
}
