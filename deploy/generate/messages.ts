import { type DenialCode, denial } from '../../src/gateway/denial.ts'

/** As Mintmark says it, for a JSON string. */
const jsonMessageOf = (code: DenialCode) => JSON.stringify(denial(code).message).slice(1, -1)

/** The messages of credential.lua.template. */
export const CREDENTIAL_MESSAGES = {
  missingCredential: jsonMessageOf('missing_credential'),
  ambiguousCredential: jsonMessageOf('ambiguous_credential'),
  invalidApiKey: jsonMessageOf('invalid_api_key'),
}
