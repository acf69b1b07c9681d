/** Why a request is denied. Each code has one status and one message, and programs may rely on it. */
export type DenialCode = keyof typeof DENIALS

/**
 * 401: another credential may work. 403: none would, or not for this request. No other status: nginx turns others into
 * 500, and Envoy treats 5xx as a failure of this service, which 503 is. Malformed, unknown, expired and revoked keys
 * get the same response.
 */
const DENIALS = {
  missing_credential: [
    401,
    'Missing credential. Send your API key or a token as "Authorization: Bearer <key>".',
  ],
  ambiguous_credential: [401, 'More than one credential. Send one API key or token, once, in one header.'],
  invalid_api_key: [
    401,
    'Invalid API key. Check that it is complete and neither expired nor revoked, or request a new one.',
  ],
  invalid_token: [
    401,
    'Invalid token: expired, revoked, or issued for another service. Exchange your API key for a new token.',
  ],
  tenant_suspended: [403, 'The tenant is suspended. Contact the operator of this service.'],
  key_disabled: [403, 'The API key is disabled. Contact the operator of this service.'],
  audience_not_granted: [
    403,
    'The API key is not granted the audience of this service. Contact its operator.',
  ],
  scope_not_granted: [
    403,
    'The API key is not granted the scope `inference`. Contact the operator of this service.',
  ],
  too_many_failures: [
    403,
    'Too many invalid API keys from your address. Check your API key and retry in a minute.',
  ],
  model_missing: [403, 'Missing model. Name one in `model`.'],
  model_not_allowed: [
    403,
    'Unknown model, or not allowed for this API key. GET /v1/models lists the allowed models.',
  ],
  invalid_body: [403, 'Invalid request body.'],
  invalid_request: [403, 'Invalid request.'],
  unavailable: [503, 'The token service is temporarily unavailable. Retry.'],
} as const satisfies Record<string, readonly [status: number, message: string]>

/** 404 of `GET /v1/models/{id}`, here and at every gateway. */
export const MODEL_NOT_FOUND = {
  type: 'error',
  error: {
    message: 'Unknown model, or not allowed for this credential. GET /v1/models lists the allowed models.',
    ...{ type: 'not_found_error', code: 'model_not_found', param: 'model' },
  },
} as const

/** Every code, for the API's document. */
export const DENIAL_CODES = Object.keys(DENIALS) as DenialCode[]

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

/** In the error format of OpenAI's clients, which Anthropic's read too, by its `type` outside. */
export function denialBody({ status, code, message }: Denial): object {
  const type = status === 401 ? 'authentication_error' : status === 403 ? 'permission_error' : 'server_error'
  const param = code === 'model_missing' || code === 'model_not_allowed' ? 'model' : null
  return { type: 'error', error: { message, type, code, param } }
}
