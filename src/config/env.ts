import { readFileSync } from 'node:fs'
import { CannotStart } from '../errors.ts'
import { fileFault } from '../system/file-fault.ts'
import { nearest } from '../system/nearest-name.ts'
import { isClientVariable } from './client-variables.ts'

/** The documentation of one variable. */
export interface VariableDescription {
  name: string
  fallback: string
  description: string
  /** Bounds of a whole number, for the schema of the Helm chart's values. */
  range?: { minimum: number; maximum: number }
  choices?: readonly string[]
}

/** Every fault in the environment, in one message, then what may have caused some of them. */
export class ConfigError extends CannotStart {
  override readonly name = 'ConfigError'
  constructor(faults: readonly string[], hints: readonly string[] = []) {
    const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`
    const lines = [...faults, ...hints].map(line => `\n  - ${line}`)
    super(`The configuration has ${count}:${lines.join('')}`)
  }
}

interface Common {
  /** The default as shown in the documentation. */
  fallback?: string
  description: string
}
type Bounds = Pick<VariableDescription, 'range' | 'choices'>

/**
 * Reads environment variables, each also as `NAME_FILE` (a path of which the content, without a final newline, is the
 * value). Reading continues after a fault, so that `throwFaults` can list all of them. Each variable that is read
 * describes itself, so that the documentation comes from the same source.
 */
export class Env {
  readonly #values: NodeJS.ProcessEnv
  readonly #faults = new Map<string, string>()
  readonly descriptions: VariableDescription[] = []
  /** Where the value of each variable that was read came from; absent: its default. */
  readonly sources = new Map<string, string>()

  constructor(values: NodeJS.ProcessEnv) {
    this.#values = values
  }

  /**
   * `undefined` when the variable is unset or empty. `parse` returns the value, or throws an Error that says "must …".
   * `again` reads the file of `NAME_FILE`, which may have changed.
   */
  optional<T>(
    name: string,
    options: Common & Bounds & { parse: (text: string, again: (() => string) | undefined) => T },
  ): T | undefined {
    const { fallback = 'unset', description, range, choices } = options
    this.descriptions.push({
      name,
      fallback,
      description,
      ...(range && { range }),
      ...(choices && { choices }),
    })
    const text = this.#text(name)
    if (text === undefined) return undefined
    const file = this.#values[`${name}_FILE`]
    try {
      return options.parse(text, file ? () => contentOf(file) : undefined)
    } catch (error) {
      // A subclass of Error is a bug, not a fault of the value.
      if ((error as Error).constructor !== Error) throw error
      const padding = text === text.trim() ? '' : '; it begins or ends with white space'
      this.fault(name, `${(error as Error).message}${padding}`)
      return undefined
    }
  }

  text(name: string, options: Common & { default: string; parse?: (text: string) => string }): string {
    const parse = options.parse ?? (text => text)
    return this.optional(name, { fallback: `\`${options.default}\``, ...options, parse }) ?? options.default
  }

  integer(name: string, options: Common & { default: number; min: number; max: number }): number {
    const { min, max } = options
    const parse = (text: string) => {
      const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
      if (!(value >= min && value <= max))
        throw new Error(`must be a whole number from ${min} to ${max}, got "${text}"`)
      return value
    }
    return (
      this.optional(name, {
        fallback: `${options.default} (${min} to ${max})`,
        ...options,
        range: { minimum: min, maximum: max },
        parse,
      }) ?? options.default
    )
  }

  choice<T extends string>(name: string, options: Common & { default: T; choices: readonly T[] }): T {
    const parse = (text: string) => {
      const found = options.choices.find(choice => choice === text)
      if (!found) throw new Error(`must be one of ${options.choices.join(', ')}, got "${text}"`)
      return found
    }
    return this.optional(name, { fallback: `\`${options.default}\``, ...options, parse }) ?? options.default
  }

  /** Records a fault of one variable or of several together; only the first of each variable. */
  fault(name: string, message: string): void {
    const variable = name.replace(/_FILE$/, '')
    if (!this.#faults.has(variable)) this.#faults.set(variable, `${name} ${message}`)
  }

  /**
   * A sentence for each variable with our prefix that is set but not known, after all known ones were read: it is probably
   * misspelt.
   */
  unknown(): string[] {
    const names = this.descriptions.flatMap(({ name }) => [name, `${name}_FILE`])
    return Object.keys(this.#values)
      .filter(name => name.startsWith('MINTMARK_') && !names.includes(name) && !isClientVariable(name))
      .map(name => {
        const meant = nearest(name, names)
        return `unknown variable ${name}: ${meant === undefined ? 'check its spelling' : `is it ${meant}?`}`
      })
  }

  /** For programs that an operator names: without what is meant for this process. */
  get ofPrograms(): NodeJS.ProcessEnv {
    const ours = /^(MINTMARK_|(MIGRATE_|LITELLM_)?DATABASE_)/
    return Object.fromEntries(Object.entries(this.#values).filter(([name]) => !ours.test(name)))
  }

  /** `all`: every variable was read, so that unknown ones are named too. @throws {ConfigError} when there is any fault. */
  throwFaults({ all = false }: { all?: boolean } = {}): void {
    if (this.#faults.size > 0) throw new ConfigError([...this.#faults.values()], all ? this.unknown() : [])
  }

  #text(name: string): string | undefined {
    const text = this.#given(name)
    // A shell removes them; docker --env-file and lines of a Secret do not, and a token or a header would keep them.
    if (text === undefined || !QUOTED.test(text)) return text
    this.fault(name, 'is in quotes, which belong to its value here: remove them')
    return undefined
  }

  #given(name: string): string | undefined {
    const direct = this.#values[name]
    const file = this.#values[`${name}_FILE`]
    if (file || direct) this.sources.set(name, file ? `${name}_FILE: ${file}` : 'environment')
    if (!file) return direct || undefined
    if (direct) {
      this.fault(name, `and ${name}_FILE are both set: unset one of them`)
      return undefined
    }
    try {
      return contentOf(file) || undefined
    } catch (error) {
      const why = fileFault(error)
      if (why === undefined) throw error
      this.fault(`${name}_FILE`, `cannot be read: ${file}: ${why}`)
      return undefined
    }
  }
}

const QUOTED = /^("[^"]*"|'[^']*')\s*$/

const contentOf = (file: string): string => readFileSync(file, 'utf8').replace(/\r?\n$/, '')
