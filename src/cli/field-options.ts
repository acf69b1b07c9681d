import { type Command, InvalidArgumentError, Option } from 'commander'
import { LIMIT_NAMES, LIMITS } from '../tenants/limits.ts'
import type { FieldFault } from './admin-client.ts'
import { CliError, EXIT } from './exit-codes.ts'
import { type Direction, parseSeconds, parseTime } from './time-arguments.ts'

/**
 * Options for fields of the API's objects. One table of them defines the help, the body of the request, and the names
 * under which faults are shown.
 */
export class FieldOption extends Option {
  /** The fields that it can set. */
  readonly fields: readonly string[]
  readonly #toFields: (value: never) => Record<string, unknown>

  constructor(
    flags: string,
    description: string,
    fields: readonly string[],
    toFields: (value: never) => Record<string, unknown>,
  ) {
    super(flags, description)
    this.fields = fields
    this.#toFields = toFields
  }

  /** Its part of the body; undefined when the option was not given. */
  contribution(command: Command): Record<string, unknown> | undefined {
    const value: unknown = command.getOptionValue(this.attributeName())
    // `--adapter` and `--no-adapter` share one value, which is false after the second.
    if (value === undefined || this.negate !== (value === false)) return undefined
    return this.#toFields(value as never)
  }
}

export function text(field: string, flags: string, description: string): FieldOption {
  return new FieldOption(flags, description, [field], (value: string) => ({ [field]: value }))
}

/** Repeatable; the entries together replace the list. */
export function list(field: string, flags: string, description: string): FieldOption {
  const option = new FieldOption(flags, `${description} (repeatable)`, [field], (value: string[]) => ({
    [field]: value,
  }))
  return option.argParser(collect)
}

/** `--no-…`: an empty list. Add it after the option that it negates. */
export function emptyList(field: string, flags: string, description: string): FieldOption {
  return new FieldOption(flags, description, [field], () => ({ [field]: [] }))
}

export function wholeNumber(field: string, flags: string, description: string): FieldOption {
  const option = new FieldOption(flags, description, [field], (value: number) => ({ [field]: value }))
  return option.argParser(parseWholeNumber)
}

/** Seconds, also as a duration like `90d`. */
export function seconds(field: string, flags: string, description: string): FieldOption {
  const option = new FieldOption(
    flags,
    `${description} (seconds, or like 90d, 12h, 30m)`,
    [field],
    (value: number) => ({ [field]: value }),
  )
  return option.argParser(parseSeconds)
}

/** A time, also as a day or a duration from now or ago. */
export function time(field: string, flags: string, description: string, direction: Direction): FieldOption {
  return text(field, flags, description).argParser(parseTime(direction))
}

/** A time to come, or `never` for null. */
export function instantOrNever(field: string, flags: string, description: string): FieldOption {
  const option = new FieldOption(flags, description, [field], (value: string) => ({
    [field]: value === 'never' ? null : value,
  }))
  return option.argParser((value: string) => (value === 'never' ? value : parseTime('from now')(value)))
}

/** `--revoke-tokens`, for changes that take rights. */
export function revokeTokens(): FieldOption {
  const description = 'also revoke the tokens that are already issued'
  return new FieldOption('--revoke-tokens', description, ['revoke_tokens'], () => ({ revoke_tokens: true }))
}

export function labels(flags: string, description: string): FieldOption {
  const option = new FieldOption(flags, `${description} (repeatable)`, ['labels'], (pairs: string[]) => ({
    labels: Object.fromEntries(pairs.map(splitLabel)),
  }))
  return option.argParser(collect)
}

/** An option for each limit: `flag` is what follows its name, `help` completes its description. */
export const limitOptions = ({ flag, help }: { flag: string; help: string }): FieldOption[] =>
  LIMIT_NAMES.map(name => {
    const flags = `--${name.replaceAll('_', '-')} ${flag}`
    const toFields = (value: number) => ({ limits: { [name]: value } })
    return new FieldOption(flags, `${LIMITS[name]}, ${help}`, [name], toFields).argParser(parseWholeNumber)
  })

const isLimit = (field: string) => LIMIT_NAMES.some(name => name === field)

export function removedLabels(): FieldOption {
  const description = 'remove a label (repeatable)'
  const option = new FieldOption('--remove-label <name>', description, ['labels'], (removed: string[]) => ({
    labels: Object.fromEntries(removed.map(name => [name, null])),
  }))
  return option.argParser(collect)
}

/** `--unset models`: resets a field, or a limit, to its default. */
export function unset(fields: readonly string[], description: string): FieldOption {
  const option = new FieldOption(
    '--unset <setting>',
    `${description} (repeatable)`,
    fields,
    (chosen: string[]) => {
      const names = chosen.map(name => name.replaceAll('-', '_'))
      const nulls = (of: string[]) => Object.fromEntries(of.map(name => [name, null]))
      const limits = names.filter(isLimit)
      const others = nulls(names.filter(name => !isLimit(name)))
      return limits.length === 0 ? others : { ...others, limits: nulls(limits) }
    },
  )
  const choices = fields.map(field => field.replaceAll('_', '-'))
  // choices() would replace argParser(), so both are set here.
  option.argChoices = choices
  return option.argParser((value: string, before: unknown) => {
    if (!choices.includes(value)) throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`)
    return collect(value, before)
  })
}

/** The given fields, as the body of a request. @throws {CliError} when two options contradict each other. */
export function bodyOf(command: Command): Record<string, unknown> {
  const body: Record<string, unknown> = {}
  for (const option of fieldOptions(command)) {
    for (const [field, value] of Object.entries(option.contribution(command) ?? {})) {
      const before = (body[field] ?? {}) as object
      const members = field === 'limits' ? Object.keys(value as object) : []
      if (field === 'labels' || (field === 'limits' && !members.some(name => name in before)))
        body[field] = { ...before, ...(value as object) }
      else if (field in body)
        throw new CliError(EXIT.usage, `${option.long} conflicts with another option for the same setting.`)
      else body[field] = value
    }
  }
  return body
}

/** Of the rotation of a secret. */
export const overlap = () =>
  seconds('overlap_seconds', '--overlap-seconds <n>', 'how long the old secret stays valid; 0: not at all')
export const replaced = () =>
  text('replace', '--replace <which>', 'live secret to revoke now').choices(['oldest', 'newest'])

/** As `bodyOf`. @throws {CliError} when nothing was given. */
export function changesOf(command: Command): Record<string, unknown> {
  const body = bodyOf(command)
  if (Object.keys(body).length > 0) return body
  const flags = fieldOptions(command).map(option => option.long)
  throw new CliError(EXIT.usage, `nothing to change: give at least one of ${flags.join(', ')}.`)
}

/** `--tier (/tier) must …`: the option or argument of a field, then the service's message. */
export function faultLine(command: Command, { pointer, message }: FieldFault): string {
  const [, first = '', second = ''] = pointer.split('/')
  const field = NESTED.has(first) && second !== '' ? second : first
  if (field === '') return message
  const candidates = fieldOptions(command).filter(option => option.fields.includes(field))
  const option = candidates.find(candidate => candidate.contribution(command)) ?? candidates[0]
  const argument = field === 'id' ? command.registeredArguments[0] : undefined
  const shown = option?.long ?? (argument && `<${argument.name()}>`)
  return shown === undefined ? `${pointer} ${message}` : `${shown} (${pointer}) ${message}`
}

/** Fields with subfields that are options. */
const NESTED = new Set(['policy', 'filter', 'limits'])

/** For `argParser`: collects every value. */
export const collect = (value: string, before: unknown): string[] => [
  ...(Array.isArray(before) ? before : []),
  value,
]

export function parseWholeNumber(value: string): number {
  if (!/^-?\d{1,15}$/.test(value)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(value)
}

const fieldOptions = (command: Command) => command.options.filter(option => option instanceof FieldOption)

function splitLabel(pair: string): [string, string] {
  const equals = pair.indexOf('=')
  if (equals < 1) throw new CliError(EXIT.usage, '--label takes name=value.')
  return [pair.slice(0, equals), pair.slice(equals + 1)]
}
