import { CliError, EXIT } from './exit-codes.ts'
import { fieldOf } from './object-field.ts'
import { streams } from './streams.ts'
import { type Column, record, table } from './table.ts'
import { printable, printableJson, printableYaml, styled } from './terminal-text.ts'

/** How to show one kind of object. */
export interface View<T> {
  /** The name in an empty list: "No tenants." */
  plural: string
  /** What `-q` prints. */
  id: (item: T) => string
  columns: readonly Column<T>[]
  /** The text for null, by field, or by member like `limits.requests_per_day`. */
  nulls?: Readonly<Record<string, string>>
  /** Fields that are lists of objects, each shown as a table below the record. */
  parts?: readonly Part<T>[]
}

interface Part<T> {
  field: string
  table: (item: T, width: number) => string
}

export function part<T, Row>(
  field: string,
  rows: (item: T) => readonly Row[],
  columns: readonly Column<Row>[],
): Part<T> {
  return { field, table: (item, width) => table(rows(item), columns, width) }
}

/** The values of `-o`. `name` is the same as `-q`. */
export const FORMATS = ['table', 'json', 'yaml', 'name'] as const

export interface OutputOptions {
  output?: string
  quiet?: boolean
  /** Path of one field, such as `limits.requests_per_day`, to print alone. */
  field?: string
  verbose?: boolean
}

/**
 * Results go to standard output, all other text to standard error. The format never depends on the output device; only
 * colours and the width of tables do.
 */
export class Output {
  readonly #format: (typeof FORMATS)[number] | 'field'
  readonly #field: string
  readonly #verbose: boolean

  constructor({ output, quiet, field, verbose = false }: OutputOptions) {
    const format = FORMATS.find(each => each === output) ?? 'table'
    this.#format = field !== undefined ? 'field' : quiet ? 'name' : format
    this.#field = field ?? ''
    this.#verbose = verbose
  }

  async list<T>(items: readonly T[], view: View<T>): Promise<void> {
    if (this.#format !== 'table' && this.#format !== 'name') {
      if (this.#format !== 'field') return print(await this.#encoded(items))
      if (items.length === 0) return
      return print(items.map(item => fieldOf(item, this.#field)).join('\n'))
    }
    if (items.length === 0) return this.note(`No ${view.plural}.`)
    await print(
      this.#format === 'name' ? items.map(view.id).join('\n') : table(items, view.columns, terminalWidth()),
    )
  }

  /** An object that was asked for. `note` explains it. */
  async object<T extends object>(item: T, view: View<T>, note?: string): Promise<void> {
    if (this.#format === 'name') return print(view.id(item))
    if (this.#format !== 'table') return print(await this.#encoded(item))
    await print(recordOf(item, view))
    if (note !== undefined) this.note(note)
  }

  /** An object after a change: in table form only `note`, which says what was done, without --verbose. */
  async changed<T extends object>(item: T, view: View<T>, note: string): Promise<void> {
    if (this.#format !== 'table' || this.#verbose) return this.object(item, view, note)
    this.note(note)
  }

  /**
   * Prints a new secret: alone on standard output, so that it can be redirected; in JSON and YAML as a field of its object.
   * @throws {CliError} when it could not be written, because it cannot be shown again; `cure` says what to do then.
   * Also for a replay, of which the response has no secret.
   */
  async secret<T extends { secret?: string; secret_advice?: string }>(
    item: T,
    texts: { note: string; cure: string },
  ): Promise<void> {
    const isAlone = this.#format === 'table' || this.#format === 'name'
    if (item.secret === undefined && isAlone)
      throw new CliError(EXIT.conflict, item.secret_advice ?? 'the response contains no secret.')
    try {
      await write(isAlone ? (item.secret ?? '') : await this.#encoded(item))
    } catch (error) {
      const why =
        error instanceof CliError
          ? error.message
          : `the secret could not be written to standard output (${(error as NodeJS.ErrnoException).code}) and is lost.`
      throw new CliError(EXIT.fault, why, [texts.cure])
    }
    this.note(texts.note)
  }

  /** After a deletion only the id is shown. */
  async deleted(field: 'id' | 'name', id: string, note: string): Promise<void> {
    if (this.#format === 'name') return print(id)
    if (this.#format !== 'table') return print(await this.#encoded({ [field]: id, deleted: true }))
    this.note(note)
  }

  /** One text in table form, one value in JSON and YAML, one id with `-q`. */
  async either(forms: { text: string; json: unknown; id: string }): Promise<void> {
    if (this.#format === 'table') return print(forms.text)
    await print(this.#format === 'name' ? forms.id : await this.#encoded(forms.json))
  }

  /** Only with `-o json` and `-o yaml`: output in addition to an error. */
  async json(value: unknown): Promise<void> {
    if (this.#format === 'json' || this.#format === 'yaml') await print(await this.#encoded(value))
  }

  /** For the person at the terminal; only in table form. */
  note(text: string): void {
    if (this.#format === 'table') streams().stderr.write(`${text.split('\n').map(printable).join('\n')}\n`)
  }

  async #encoded(value: unknown): Promise<string> {
    if (this.#format === 'field') return fieldOf(value, this.#field)
    return this.#format === 'yaml' ? printableYaml(value) : printableJson(value)
  }
}

let hasProgress = false

/**
 * Shows how far a command is, in one line of the terminal, in place of the one before; an empty one removes it. Nothing where
 * standard error is no terminal.
 */
export function printProgress(line: string): void {
  const { stderr } = streams()
  if (!stderr.isTTY) return
  stderr.write(`\r\x1b[K${line}`)
  hasProgress = line !== ''
}

/** Prints an error; all errors have this format. */
export function printError(message: string, details: readonly string[] = []): void {
  if (hasProgress) printProgress('')
  const name = styled(['bold', 'red'], 'mintmark:', streams().stderr)
  const lines = [message, ...details].flatMap(text => text.split('\n')).map(printable)
  streams().stderr.write(`${name} ${lines.join('\n  ')}\n`)
}

/** Prints what delays the command, in every format: standard error is not its result. */
export function printNotice(line: string): void {
  if (hasProgress) printProgress('')
  streams().stderr.write(`${styled('bold', 'mintmark:', streams().stderr)} ${printable(line)}\n`)
}

/** `2026-11-23T18:27:31.000Z` as `2026-11-23 18:27:31Z`; anything else unchanged. */
export const moment = (time: string): string =>
  time.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/, '$1 $2Z')

export const day = (time: string | null, never = '-'): string => time?.slice(0, 10) ?? never

export const names = (list: readonly string[]): string => list.join(', ') || 'none'

const terminalWidth = () => streams().stdout.columns || Number.POSITIVE_INFINITY

function recordOf<T extends object>(item: T, view: View<T>): string {
  const parts = view.parts ?? []
  const fields = Object.entries(item).filter(([name]) => !parts.some(({ field }) => field === name))
  const entries = fields.flatMap(([name, value]) => entriesOf(name, value, view.nulls ?? {}))
  const tables = parts.map(
    ({ field, table }) => `\n\n${styled('bold', field)}\n${table(item, terminalWidth())}`,
  )
  return record(entries) + tables.join('')
}

function entriesOf(
  name: string,
  value: unknown,
  nulls: Readonly<Record<string, string>>,
): [string, string][] {
  if (value === undefined) return []
  if (value === null) return [[name, nulls[name] ?? '-']]
  if (Array.isArray(value)) return [[name, names(value.map(String))]]
  if (typeof value === 'object') {
    const members = Object.entries(value)
    if (members.length === 0) return [[name, 'none']]
    return members.flatMap(([member, inner]) => entriesOf(`${name}.${member}`, inner, nulls))
  }
  return [[name, value === '' ? '-' : moment(String(value))]]
}

/** A reader that closed the pipe (`| head`) needs no more output; any other failure is reported by main.ts. */
const print = (text: string): Promise<void> => write(text).catch(() => {})

function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    streams().stdout.write(`${text}\n`, error => (error ? reject(error) : resolve()))
  })
}
