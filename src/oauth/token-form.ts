import type { IncomingHttpHeaders } from 'node:http'
import { OAuthError } from './oauth-error.ts'
import { parseCredential, parseForm } from './token-request.ts'

/** A request about one token: `token` of RFC 7009 §2.1 and RFC 7662 §2.1. A `token_type_hint` changes nothing. */
export function parseTokenForm(req: { url: string; headers: IncomingHttpHeaders; body: Buffer }) {
  const { form } = parseForm(req)
  return {
    /** @throws {OAuthError} */
    client: () => parseCredential(req.headers.authorization, form),
    /** @throws {OAuthError} when it is missing: reported only to an authenticated caller. */
    get token(): string {
      const token = form.get('token')
      if (token !== undefined) return token
      throw new OAuthError('invalid_request', 'Missing parameter: token. Send the token in the body.')
    },
  }
}
