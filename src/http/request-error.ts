/** The request itself is invalid, whatever it is for. `message` is for the caller. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

const MESSAGES: Record<number, string> = {
  400: 'The request is malformed.',
  408: 'The request took too long to arrive. Retry.',
  413: 'The request body is too large.',
  415: 'The request body must not be compressed.',
}

export const requestError = (status: number): RequestError =>
  new RequestError(status, MESSAGES[status] ?? 'The request is not acceptable.')

/** 404: no route has the path. `hint` names where to look instead. */
export const nothingHere = (hint?: string): RequestError =>
  new RequestError(404, hint === undefined ? 'Not found.' : `Not found. ${hint}.`)

/** 405 with the allowed methods of the path (RFC 9110 §15.5.6). GET includes HEAD. */
export function methodNotAllowed(allowed: readonly string[]): RequestError {
  const allow = (allowed.includes('GET') ? [...allowed, 'HEAD'] : allowed).join(', ')
  return new RequestError(405, `Method not allowed. Use ${allow}.`, { Allow: allow })
}

/**
 * Turns an error of Express into a RequestError without Express's message, which contains text of the request. Returns
 * anything else unchanged.
 */
export function toRequestError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof RequestError) return error
  const { status } = error as Error & { status?: unknown }
  if (typeof status !== 'number' || status < 400 || status > 499) return error
  return requestError(status)
}
