import { CliError, EXIT } from '../exit-codes.ts'
import type { ExportedKey } from './exported-key.ts'

/** A row of Unkey's table `keys`, with its columns' names or those of its schema in TypeScript. */
type Row = Readonly<Record<string, unknown>>

const CURES = {
  ratelimit: 'Set limits: mintmark key update --requests-per-minute <n>.',
  remaining: 'Mintmark has limits in time only: mintmark key update --requests-per-day <n>.',
  permissions: 'Set what the key may use: mintmark key update --scope <name> --model <name>.',
  meta: 'Use labels: mintmark key update --label <name=value>.',
}

/** Keys of Unkey, by the rows of its table `keys`: Unkey stores the SHA-256 of a key in base64. @throws {CliError} */
export function unkeyKeys(rows: readonly object[]): ExportedKey[] {
  return (rows as readonly Row[])
    .filter(row => !isSet(of(row, 'deleted_at_m')) && !isSet(of(row, 'deleted_at')))
    .map((row, index) => {
      const [id, hash] = [of(row, 'id'), of(row, 'hash')]
      if (typeof id !== 'string' || typeof hash !== 'string')
        throw new CliError(
          EXIT.usage,
          `row ${index + 1} has no id and hash, as rows of Unkey's table "keys" have.`,
        )
      const owner = of(row, 'owner_id') ?? of(row, 'external_id') ?? of(row, 'identity_id')
      return {
        clientId: `unkey-${id}`,
        name: textOf(of(row, 'name')) ?? id,
        owner: textOf(owner),
        hash,
        disabled: isFalse(of(row, 'enabled')),
        expiresAt: instantOf(of(row, 'expires'), index),
        unmapped: unmapped(row),
      }
    })
}

function unmapped(row: Row): ExportedKey['unmapped'] {
  const found = [
    ['ratelimit', ['ratelimit_limit', 'ratelimits']],
    ['remaining', ['remaining', 'remaining_requests', 'credits']],
    ['permissions', ['permissions', 'roles']],
    ['meta', ['meta']],
  ] as const
  return found.flatMap(([what, columns]) => {
    const column = columns.find(name => isSet(of(row, name)))
    if (column === undefined) return []
    return [{ code: `unkey_${what}`, message: `${column} of a key is not imported.`, cure: CURES[what] }]
  })
}

/** By the name of the column, or that name in camel case. */
const of = (row: Row, column: string): unknown =>
  row[column] ?? row[column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())]

const isSet = (value: unknown) =>
  value !== null &&
  value !== undefined &&
  value !== '' &&
  value !== 'NULL' &&
  value !== '{}' &&
  value !== '[]'
const isFalse = (value: unknown) => value === false || value === 0 || value === '0' || value === 'false'
const textOf = (value: unknown) => (isSet(value) ? String(value) : undefined)

/** Milliseconds, or a time; without a zone it is UTC, as MySQL exports it. */
function instantOf(value: unknown, index: number): number | undefined {
  if (!isSet(value)) return undefined
  const text = String(value)
  if (/^\d+$/.test(text)) return Number(text)
  const instant = Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text.replace(' ', 'T')}Z`)
  if (Number.isNaN(instant))
    throw new CliError(EXIT.usage, `row ${index + 1}: expires, "${text.slice(0, 40)}", is not a time.`)
  return instant
}
