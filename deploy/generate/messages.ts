import { type DenialCode, denial, denialBody } from '../../src/gateway/denial.ts'

/** As Mintmark says it, for a JSON string. */
const jsonMessageOf = (code: DenialCode) => JSON.stringify(denial(code).message).slice(1, -1)

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
