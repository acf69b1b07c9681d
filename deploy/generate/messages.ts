import { type DenialCode, denial, denialBody, MODEL_NOT_FOUND } from '../../src/gateway/denial.ts'

/** As Mintmark says it, for a JSON string. */
const jsonMessageOf = (code: DenialCode) => JSON.stringify(denial(code).message).slice(1, -1)

/** Body of 404 for a model. */
export const modelNotFound = JSON.stringify(MODEL_NOT_FOUND)

/** Bodies of 503, by what cannot be reached. */
export const AWAY = {
  engine:
    '{"type":"error","error":{"message":"The engine is temporarily unavailable. Retry.","type":"server_error","code":"engine_unavailable","param":null}}',
  mintmark: JSON.stringify(denialBody(denial('unavailable'))),
}

/** 401 of a gateway that looks at the form of a credential before it asks Mintmark. */
export const REFUSED = {
  missing: refusalOf('missing_credential'),
  malformed: refusalOf('invalid_api_key'),
}

function refusalOf(code: DenialCode): { challenge: string; body: string } {
  const refusal = denial(code)
  return { challenge: refusal.headers['WWW-Authenticate'] ?? '', body: JSON.stringify(denialBody(refusal)) }
}

/** Body of 400 and 431 for what a server cannot read as HTTP. */
export const malformed = (message: string) =>
  `{"type":"error","error":{"message":"${message}","type":"invalid_request_error","code":"invalid_request","param":null}}`

const limitReached = (message: string) =>
  `{"type":"error","error":{"message":"${message}","type":"rate_limit_error","code":"rate_limit_exceeded","param":null}}`

/** Bodies of 429 of gateways that limit LLM tokens too. */
export const LIMITS_REACHED = {
  minute: limitReached(
    'The limit of requests or LLM tokens of a minute is reached. Retry after the seconds in Retry-After.',
  ),
  day: limitReached(
    'The limit of requests or LLM tokens of a day is reached. It starts again at midnight UTC.',
  ),
}

/** Bodies of 429 of gateways that count requests themselves. */
export const LIMIT_REACHED = {
  minute: limitReached(
    'The limit of requests of a minute is reached. Retry after the seconds in Retry-After.',
  ),
  day: limitReached('The limit of requests of a day is reached. It starts again at midnight UTC.'),
}

/** The messages of credential.lua.template. */
export const CREDENTIAL_MESSAGES = {
  missingCredential: jsonMessageOf('missing_credential'),
  ambiguousCredential: jsonMessageOf('ambiguous_credential'),
  invalidApiKey: jsonMessageOf('invalid_api_key'),
}
