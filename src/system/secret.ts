import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/**
 * A value that cannot be printed: logging, string conversion, JSON and `util.inspect` all give `[redacted]`.
 * `reveal()` is the one way to the value, so that its uses can be found by searching for it.
 */
export class Secret<T = string> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  reveal(): T {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}

/** One of a list of secrets of the same use: the first of a list is used, all of them are understood. */
export interface NamedKey {
  id: string
  key: Secret<Buffer>
}
