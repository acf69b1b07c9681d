/** Why a request is denied. Each code has one status and one message, and programs may rely on it. */
export type DenialCode = keyof typeof DENIALS

/**
 * 401: another credential may work. 403: none would, or not for this request. No other status: nginx turns others into
 * 500, and Envoy treats 5xx as a failure of this service, which 503 is. Malformed, unknown, expired and revoked keys
 * get the same response.
 */
const DENIALS = {
  missing_credential: [401, 'Send your API key, or a token made from it, as "Authorization: Bearer <key>".'],
  ambiguous_credential: [401, 'Send one credential, once: a key or a token, in one header.'],
  invalid_api_key: [
    401,
    'The API key is not valid. Check that it is whole and still in use, or ask for a new one.',
  ],
  invalid_token: [
    401,
    'The token is not valid here: it may have expired, been revoked, or been made for another service. Exchange your API key for a new one.',
  ],
  tenant_suspended: [403, 'The tenant is suspended. Ask whoever runs this service.'],
  key_disabled: [403, 'The API key is disabled. Ask whoever runs this service.'],
  audience_not_granted: [403, 'The API key may not be used for this service. Ask whoever runs it.'],
  scope_not_granted: [403, 'The API key lacks the scope of this service. Ask whoever runs it.'],
  too_many_failures: [
    403,
    'Too many keys that are not valid came from your address. Check your key, and try again in a minute.',
  ],
  model_missing: [403, 'The request names no model. Name one in `model`.'],
  model_not_allowed: [
    403,
    'The model does not exist, or you may not use it. GET /v1/models lists those that you may.',
  ],
  invalid_body: [403, 'The body cannot be read.'],
  invalid_request: [403, 'The request cannot be read.'],
  unavailable: [503, 'The token service cannot answer at the moment. Try again.'],
} as const satisfies Record<string, readonly [status: number, message: string]>

export interface Denial {
  status: 401 | 403 | 503
  code: DenialCode
  message: string
  headers: Record<string, string>
  /** For the log. */
  cause?: unknown
}

/** `detail` replaces the message where it can be more exact; it never repeats client input. */
export function denial(
  code: DenialCode,
  more: { detail?: string; retryAfterSeconds?: number; cause?: unknown } = {},
): Denial {
  const [status, message] = DENIALS[code]
  return {
    status,
    code,
    message: more.detail ?? message,
    headers: {
      ...(status !== 503 && { 'WWW-Authenticate': challenge(code, status) }),
      ...(status === 503 && { 'Retry-After': String(more.retryAfterSeconds ?? 1) }),
    },
    ...(more.cause !== undefined && { cause: more.cause }),
  }
}

/** RFC 6750 §3: no `error` when the request had no credential. */
function challenge(code: DenialCode, status: 401 | 403): string {
  if (code === 'missing_credential') return 'Bearer realm="mintmark"'
  return `Bearer realm="mintmark", error="${status === 401 ? 'invalid_token' : 'insufficient_scope'}"`
}

/** In the error format of OpenAI clients. */
export function denialBody({ status, code, message }: Denial): object {
  const type = status === 401 ? 'authentication_error' : status === 403 ? 'permission_error' : 'server_error'
  const param = code === 'model_missing' || code === 'model_not_allowed' ? 'model' : null
  return { error: { message, type, code, param } }
}
