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

/** The messages of credential.lua.template. */
export const CREDENTIAL_MESSAGES = {
  missingCredential: jsonMessageOf('missing_credential'),
  ambiguousCredential: jsonMessageOf('ambiguous_credential'),
  invalidApiKey: jsonMessageOf('invalid_api_key'),
}
