/**
 * What can go wrong in the domain, in words that know nothing of HTTP. Each transport translates these once
 * (oauth/oauth-error.ts, admin/problem.ts); anything else that is thrown is a fault of ours. `message` is what
 * the caller may read; `cause` is what the operator reads in the log.
 */

/** One thing wrong with the input: `pointer` is an RFC 6901 JSON pointer to the field, `''` for the whole. */
export interface Fault {
  pointer: string
  message: string
}

/** One name in a pointer (RFC 6901 §3). Cut, because a client chose it. */
export const escapePointer = (name: string): string =>
  name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')

export class NotFound extends Error {
  override readonly name = 'NotFound'
  constructor(what: string, id?: string) {
    super(id === undefined ? `Unknown ${what}.` : `Unknown ${what}: "${id}".`)
  }
}

/** The request is well formed, and the state of things forbids it. `code` is stable, for programs. */
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

/** The object is not of the version that the request names: `version` is what it has now, undefined when it is not there. */
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

export class Forbidden extends Error {
  override readonly name = 'Forbidden'
}

/** Why this process cannot start, or a command cannot work, and what cures it: the message is enough at the terminal, without a stack. */
export class CannotStart extends Error {
  override readonly name: string = 'CannotStart'
}

/** A fault of ours that passes: the caller may try again after `retryAfterSeconds`. Never blamed on the client. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
  readonly retryAfterSeconds: number
  constructor(message: string, options?: ErrorOptions & { retryAfterSeconds?: number }) {
    super(message, options)
    this.retryAfterSeconds = options?.retryAfterSeconds ?? 1
  }
}
