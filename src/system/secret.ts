import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/**
 * A value that cannot be printed: logging, string conversion, JSON and `util.inspect` all give `[redacted]`. `reveal()`
 * is the only access to the value, so its uses can be searched for.
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

/** A secret that is read again at each use, so that it may change while the process runs. */
export class ChangingSecret extends Secret {
  readonly #read: () => string

  /** @throws what `read` throws, as `reveal` does. */
  constructor(read: () => string) {
    super('')
    this.#read = read
  }

  override reveal(): string {
    return this.#read()
  }
}

/** One of a list of secrets for the same use: the first is used for new values, all are accepted. */
export interface NamedKey {
  id: string
  key: Secret<Buffer>
}
