import { CliError, EXIT } from './exit-codes.ts'
import { printable, printableJson } from './terminal-text.ts'

/**
 * One field of an object of the API, for scripts: `limits.requests_per_day`, `secrets.0.id`. Texts and numbers are printed
 * as they are, null as an empty line, a list of them as a line for each, anything else as JSON.
 * @throws {CliError} which names the fields that exist.
 */
export function fieldOf(item: unknown, path: string): string {
  let value = item
  const walked: string[] = []
  for (const name of path.split('.')) {
    // A JSON object of the API has no field of that name, but every JavaScript object has "constructor".
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name))
      throw missing(value, walked, name)
    value = (value as Record<string, unknown>)[name]
    walked.push(name)
  }
  return Array.isArray(value) ? value.map(raw).join('\n') : raw(value)
}

function raw(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'object' ? printableJson(value) : printable(String(value))
}

function missing(value: unknown, walked: readonly string[], name: string): CliError {
  const where = walked.length === 0 ? 'the result' : `"${walked.join('.')}"`
  const names = typeof value === 'object' && value !== null ? Object.keys(value) : []
  const known = names.length > 0 ? ` It has ${names.join(', ')}.` : ' It has no fields.'
  return new CliError(EXIT.notFound, `--field: ${where} has no field "${name}".${known}`)
}
