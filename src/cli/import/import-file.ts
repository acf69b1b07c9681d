import { KEY_SETTINGS } from '../../api-keys/key-settings.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { fieldsOf } from '../setting-options.ts'
import { textOf } from '../text-file.ts'

/** Files of clients to import: NDJSON, or CSV (RFC 4180) with a header line. */

/** Columns whose cells are lists, separated by spaces. */
const LISTS = new Set([...fieldsOf(KEY_SETTINGS, 'list'), ...fieldsOf(KEY_SETTINGS, 'registered')])
const FLAGS: ReadonlySet<string> = new Set(['lookup', 'disabled'])
const NUMBERS = new Set(fieldsOf(KEY_SETTINGS, 'whole-number'))

const LONGEST_FILE_BYTES = 268_435_456

export const readClients = (file: string): Promise<string> => textOf(file, LONGEST_FILE_BYTES)

/** @throws {CliError} that names the line. */
export function clientsOf(text: string, file: string): object[] {
  const content = text
  const clients = content.trimStart().startsWith('{') ? ndjson(content) : csv(content)
  if (clients.length === 0)
    throw new CliError(EXIT.usage, `${file} contains no clients. Write one on each line.`)
  return clients
}

function ndjson(text: string): object[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      return [JSON.parse(line) as object]
    } catch {
      throw new CliError(EXIT.usage, `line ${index + 1} is not JSON. Write one object on each line.`)
    }
  })
}

function csv(text: string): object[] {
  const [header = [], ...records] = csvRecords(text)
  return records.map((cells, index) => {
    if (cells.length !== header.length)
      throw new CliError(
        EXIT.usage,
        `row ${index + 1} has ${cells.length} cells, and the header ${header.length}.`,
      )
    const given = header.map((name, column) => [name.trim(), cells[column] ?? ''] as const)
    // An empty cell sets nothing.
    return Object.fromEntries(
      given.filter(([, cell]) => cell !== '').map(([name, cell]) => [name, cellValue(name, cell)]),
    )
  })
}

function cellValue(name: string, cell: string): string | number | boolean | string[] {
  if (LISTS.has(name)) return cell.split(' ').filter(entry => entry !== '')
  if (FLAGS.has(name) && (cell === 'true' || cell === 'false')) return cell === 'true'
  return NUMBERS.has(name) && /^\d+$/.test(cell) ? Number(cell) : cell
}

/** RFC 4180 §2: cells may be quoted, and then contain commas, line breaks and doubled quotes. */
function csvRecords(text: string): string[][] {
  const records: string[][] = []
  let record: string[] = []
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    if (end === '' && record.length === 0 && quoted === undefined && plain === '') break
    record.push(quoted?.replaceAll('""', '"') ?? plain ?? '')
    if (end === ',') continue
    if (record.length > 1 || record[0] !== '') records.push(record)
    record = []
    if (end === '') break
  }
  return records
}
