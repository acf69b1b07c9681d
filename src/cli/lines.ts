import { createReadStream } from 'node:fs'
import { fileFault } from '../system/file-fault.ts'
import { CliError, EXIT } from './exit-codes.ts'
import { streams } from './streams.ts'
import { shownName } from './text-file.ts'

/** Far more than a line of a log, and little enough to keep. */
const LONGEST_LINE_BYTES = 16_777_216

/** The first bytes of files that a log is compressed to (gzip, zip, bzip2, xz, zstd), and of UTF-16. */
const NOT_TEXT: readonly [bytes: string, fault: string][] = [
  ...['1f8b', '504b0304', '425a68', 'fd377a585a', '28b52ffd'].map(
    bytes => [bytes, 'is compressed. Unpack it, and pass it as standard input: "-"'] as [string, string],
  ),
  ['fffe', 'is UTF-16. Save it as UTF-8'],
  ['feff', 'is UTF-16. Save it as UTF-8'],
]

/**
 * The lines of a text file of any length, without their ends. "-" is standard input. A line that is too long is undefined.
 */
export async function* linesOf(file: string): AsyncGenerator<string | undefined> {
  const source = file === '-' ? streams().stdin : createReadStream(file)
  let parts: Buffer[] = []
  let length = 0
  let isFirst = true
  const line = () => {
    const text =
      length > LONGEST_LINE_BYTES ? undefined : Buffer.concat(parts).toString('utf8').replace(/\r$/, '')
    parts = []
    length = 0
    return text
  }
  const keep = (part: Buffer) => {
    length += part.length
    if (length > LONGEST_LINE_BYTES) parts = []
    else parts.push(part)
  }
  try {
    for await (const each of source) {
      const chunk = Buffer.from(each)
      if (isFirst) refuseOther(file, chunk)
      isFirst = false
      let start = 0
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        keep(chunk.subarray(start, end))
        yield line()
        start = end + 1
      }
      if (start < chunk.length) keep(chunk.subarray(start))
    }
  } catch (error) {
    const reason = fileFault(error)
    if (reason === undefined) throw error
    throw new CliError(EXIT.usage, `${shownName(file)} cannot be read: ${reason}.`)
  }
  if (length > 0) yield line()
}

function refuseOther(file: string, chunk: Buffer): void {
  const beginning = chunk.toString('hex', 0, 5)
  const [, fault] = NOT_TEXT.find(([bytes]) => beginning.startsWith(bytes)) ?? []
  if (fault !== undefined) throw new CliError(EXIT.usage, `${shownName(file)} ${fault}.`)
}
