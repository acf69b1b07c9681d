import type { ServerResponse } from 'node:http'
import { Unavailable } from '../errors.ts'
import { answerJson, headerList } from '../http/answer.ts'
import { RequestError, toRequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import { AudiencesDisagree } from '../tokens/token-issuer.ts'

/** RFC 6749 §5.2, RFC 8707 §2 for invalid_target, RFC 8628 §3.5 for slow_down; the last two are for what RFC 6749 leaves to HTTP. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'slow_down'
  | 'temporarily_unavailable'
  | 'server_error'

/**
 * An error response of the token endpoint. `description` is fixed text: input is never echoed (RFC 6749 §5.2 limits its
 * characters).
 */
export class OAuthError extends Error {
  override readonly name = 'OAuthError'
  readonly code: OAuthErrorCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: OAuthErrorCode,
    description: string,
    options: ErrorOptions & { status?: number; headers?: Record<string, string> } = {},
  ) {
    super(description, options)
    this.code = code
    this.status = options.status ?? 400
    this.headers = options.headers ?? {}
  }
}

/** A temporary server error: never `invalid_client`, on which clients discard their credential. */
function unavailable(cause?: Error, retryAfterSeconds = 1): OAuthError {
  return new OAuthError('temporarily_unavailable', 'The token service is temporarily unavailable. Retry.', {
    status: 503,
    headers: { 'Retry-After': String(retryAfterSeconds) },
    cause,
  })
}

/** Translates errors into the codes of RFC 6749. Unknown errors become server errors. */
export function toOAuthError(thrown: unknown): OAuthError {
  if (thrown instanceof OAuthError) return thrown
  if (thrown instanceof AudiencesDisagree) {
    return new OAuthError(
      'invalid_target',
      'These audiences need different signing algorithms. Request one at a time.',
    )
  }
  const error = toRequestError(thrown)
  if (error instanceof Unavailable) return unavailable(error, error.retryAfterSeconds)
  if (error instanceof RequestError) {
    const { status, headers } = error
    return new OAuthError('invalid_request', error.message, { status, headers })
  }
  return new OAuthError('server_error', 'Internal error.', {
    status: 500,
    cause: error,
  })
}

/** Answers with the error as RFC 6749 has it, and records it for the log. */
export function refuse(thrown: unknown, res: ServerResponse): void {
  const error = toOAuthError(thrown)
  const event = eventOf(res)
  event.fields.error = error.code
  event.fields.reason ??= error.code === 'slow_down' ? 'too_many_failures' : error.code
  if (error.status >= 500) event.error = error.cause ?? error
  else event.fields.detail = error.message
  const body = JSON.stringify({ error: error.code, error_description: error.message })
  answerJson(res, error.status, body, headerList({ Pragma: 'no-cache', ...error.headers }))
}
