import { STATUS_CODES } from 'node:http'
import type { ErrorRequestHandler } from 'express'
import {
  Conflict,
  type Fault,
  Forbidden,
  Invalid,
  NotFound,
  PreconditionFailed,
  TooMany,
  Unavailable,
} from '../errors.ts'
import { RequestError, toRequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import { KeyReused } from '../idempotency/idempotency-keys.ts'
import { withoutCredentials } from '../system/logger.ts'
import { etagOf } from './preconditions.ts'

/** RFC 9457. `code` is stable, for programs; `errors` lists each invalid field (RFC 6901 pointers). */
interface Problem {
  status: number
  code: string
  detail: string
  errors?: readonly Fault[]
  headers?: Readonly<Record<string, string>>
}

/** The request has no valid admin credential. `reason` and `tokenId` are for the log only. */
export class Unauthenticated extends Error {
  override readonly name = 'Unauthenticated'
  readonly reason: string
  readonly tokenId: string | undefined
  constructor(message: string, reason: string, tokenId?: string) {
    super(message)
    this.reason = reason
    this.tokenId = tokenId
  }
}

/** Translates errors into problem details. Unknown errors become internal errors. */
function toProblem(thrown: unknown): Problem {
  const error = toRequestError(thrown)
  if (error instanceof Unauthenticated) {
    const headers = { 'WWW-Authenticate': 'Bearer realm="mintmark-admin"' }
    return { status: 401, code: 'unauthenticated', detail: error.message, headers }
  }
  if (error instanceof Forbidden) return { status: 403, code: 'forbidden', detail: error.message }
  if (error instanceof NotFound) return { status: 404, code: 'not_found', detail: error.message }
  if (error instanceof Conflict) return { status: 409, code: error.code, detail: error.message }
  if (error instanceof PreconditionFailed) {
    const headers = error.version === undefined ? {} : { ETag: etagOf(error.version) }
    return { status: 412, code: 'precondition_failed', detail: error.message, headers }
  }
  if (error instanceof Invalid) {
    return {
      status: 400,
      code: 'invalid',
      detail: 'The request is invalid: see errors.',
      errors: error.faults,
    }
  }
  if (error instanceof KeyReused) {
    return { status: 422, code: 'idempotency_key_reused', detail: error.message }
  }
  if (error instanceof TooMany) {
    const headers = { 'Retry-After': String(error.retryAfterSeconds) }
    return { status: 429, code: error.code, detail: error.message, headers }
  }
  if (error instanceof Unavailable) {
    const headers = { 'Retry-After': String(error.retryAfterSeconds) }
    return { status: 503, code: 'unavailable', detail: error.message, headers }
  }
  if (error instanceof RequestError) {
    const { status, headers } = error
    return { status, code: CODES[status] ?? 'bad_request', detail: error.message, headers }
  }
  return {
    status: 500,
    code: 'internal',
    detail: 'Internal error. The log of the service has the cause under this request id.',
  }
}

const CODES: Record<number, string> = {
  404: 'not_found',
  405: 'method_not_allowed',
  413: 'too_large',
  415: 'unsupported_media_type',
  429: 'too_many_failures',
}

export const problemHandler: ErrorRequestHandler = (thrown, _req, res, next) => {
  if (res.headersSent) return next(thrown)
  const { status, code, detail, errors, headers } = toProblem(thrown)
  const event = eventOf(res)
  event.fields.error = code
  if (thrown instanceof Unauthenticated) {
    event.fields.reason = thrown.reason
    event.fields.admin_token = thrown.tokenId
  }
  if (status >= 500) event.error = thrown
  res.status(status).set({ ...headers, 'Content-Type': 'application/problem+json' })
  const body = { type: `urn:mintmark:problem:${code}`, title: STATUS_CODES[status], status, detail, code }
  // Echoes input to the sender, but never a key that was sent in place of an id.
  res.send(
    withoutCredentials(JSON.stringify({ ...body, request_id: event.requestId, ...(errors && { errors }) })),
  )
}
