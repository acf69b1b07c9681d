/**
 * The errors of the domain, independent of HTTP. Each transport translates them once (oauth/oauth-error.ts,
 * admin/problem.ts); any other error is a bug. `message` is for the caller; `cause` is for the operator's log.
 */

/** One fault of the input: `pointer` is an RFC 6901 JSON pointer to the field, `''` for the whole. */
export interface Fault {
  pointer: string
  message: string
}

/** One name in a pointer (RFC 6901 §3). Truncated, because a client chose it. */
export const escapePointer = (name: string): string =>
  name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')

export class NotFound extends Error {
  override readonly name = 'NotFound'
  constructor(what: string, id?: string) {
    super(id === undefined ? `Unknown ${what}.` : `Unknown ${what}: "${id}".`)
  }
}

/** The request is well formed but conflicts with the current state. `code` is stable, for programs. */
export class Conflict extends Error {
  override readonly name = 'Conflict'
  readonly code: string
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export class Invalid extends Error {
  override readonly name = 'Invalid'
  readonly faults: readonly Fault[]
  constructor(faults: readonly Fault[], options?: ErrorOptions) {
    super(faults.map(fault => `${fault.pointer || 'The request'} ${fault.message}`).join('; '), options)
    this.faults = faults
  }
}

/**
 * The object does not have the version that the request names: `version` is its current one, undefined when it does not
 * exist.
 */
export class PreconditionFailed extends Error {
  override readonly name = 'PreconditionFailed'
  readonly version: string | undefined
  constructor(version: string | undefined) {
    super(
      version === undefined
        ? 'The object does not exist, so it has none of the versions in the precondition.'
        : 'The object has another version than the precondition requires. Get it again, then decide.',
    )
    this.version = version
  }
}

/** The caller made too many of what all share, and may continue after `retryAfterSeconds`. `code` is stable, for programs. */
export class TooMany extends Error {
  override readonly name: string = 'TooMany'
  readonly code: string
  readonly retryAfterSeconds: number
  constructor(code: string, message: string, retryAfterSeconds: number) {
    super(message)
    this.code = code
    this.retryAfterSeconds = retryAfterSeconds
  }
}

export class Forbidden extends Error {
  override readonly name = 'Forbidden'
}

/** Why this process cannot start, or a command cannot work, and the cure: printed without a stack. */
export class CannotStart extends Error {
  override readonly name: string = 'CannotStart'
}

/** A temporary server error: the caller may retry after `retryAfterSeconds`. Never reported as a client error. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
  readonly retryAfterSeconds: number
  constructor(message: string, options?: ErrorOptions & { retryAfterSeconds?: number }) {
    super(message, options)
    this.retryAfterSeconds = options?.retryAfterSeconds ?? 1
  }
}

/** A bounded queue is full, or the wait in it was too long: callers cause it, so it counts as a failed attempt. */
export class Busy extends Unavailable {}
