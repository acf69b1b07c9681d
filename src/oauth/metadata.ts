import type { IncomingMessage, ServerResponse } from 'node:http'
import { answerNotModified, answerText, type HeaderList, headerList, namesEtag } from '../http/answer.ts'
import { RequestError } from '../http/request-error.ts'
import type { Handler } from '../http/route-table.ts'
import { ASSERTION_ALGS } from '../identity-providers/provider-kind.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import { GRANT_TYPES } from './token-request.ts'

export const PATHS = {
  token: '/oauth/token',
  /** JSON, as Anthropic's SDK sends it. */
  sdkToken: '/v1/oauth/token',
  revoke: '/oauth/revoke',
  introspect: '/oauth/introspect',
  jwks: '/.well-known/jwks.json',
  pem: '/.well-known/jwks/{kid}.pem',
  openid: '/.well-known/openid-configuration',
  oauth: '/.well-known/oauth-authorization-server',
} as const

const JSON_TYPE = 'application/json; charset=utf-8'
const PEM_TYPE = 'application/x-pem-file; charset=utf-8'
const METADATA_MAX_AGE_SECONDS = 300
const CLIENT_AUTHENTICATION = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'spiffe_jwt']

/**
 * RFC 8414 §2 and OpenID Connect Discovery §3. `issuer` is byte-equal to the tokens' `iss`. There is no authorization
 * endpoint and so no response type; `none` is used where the standards require a non-empty list (docs/divergences.md).
 */
export function metadata(issuer: string, ring: () => KeyRing): Handler {
  const headers = publicHeaders(METADATA_MAX_AGE_SECONDS)
  return (req, res) => {
    const document = {
      issuer,
      token_endpoint: issuer + PATHS.token,
      jwks_uri: issuer + PATHS.jwks,
      grant_types_supported: GRANT_TYPES,
      token_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
      token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGS,
      revocation_endpoint: issuer + PATHS.revoke,
      revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
      revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGS,
      introspection_endpoint: issuer + PATHS.introspect,
      introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'Bearer'],
      response_types_supported: ['none'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ring().algs,
    }
    publish(req, res, { type: JSON_TYPE, text: JSON.stringify(document), headers })
  }
}

/** The JWK Set. `maxAgeSeconds` is how long a verifier may cache it: well under the publish lead. */
export function jwks(ring: () => KeyRing, maxAgeSeconds: () => number): Handler {
  let last: { ring?: KeyRing; maxAge: number; headers: HeaderList } = { maxAge: 0, headers: headerList() }
  return (req, res) => {
    const current = ring()
    const maxAge = maxAgeSeconds()
    if (last.ring !== current || last.maxAge !== maxAge) {
      const { etag, lastModified } = current
      const versions = { ETag: etag, ...(lastModified !== undefined && { 'Last-Modified': lastModified }) }
      last = { ring: current, maxAge, headers: publicHeaders(maxAge, versions) }
    }
    publish(req, res, { type: JSON_TYPE, text: current.jwks, headers: last.headers, etag: current.etag })
  }
}

/** One published key as SubjectPublicKeyInfo in PEM. */
export function pem(ring: () => KeyRing, maxAgeSeconds: () => number): Handler {
  return (req, res, kid) => {
    const text = ring().pem(kid)
    if (!text)
      throw new RequestError(404, 'No published key has this kid. The JWK Set lists the published keys.')
    publish(req, res, { type: PEM_TYPE, text, headers: publicHeaders(maxAgeSeconds()) })
  }
}

/** Cacheable by any cache, readable by any origin. */
const publicHeaders = (maxAgeSeconds: number, more: Readonly<Record<string, string>> = {}): HeaderList =>
  headerList({
    'Cache-Control': `public, max-age=${maxAgeSeconds}`,
    'Access-Control-Allow-Origin': '*',
    ...more,
  })

/** Answers with the document, or with 304 where the client has the current one. */
function publish(
  req: IncomingMessage,
  res: ServerResponse,
  document: { type: string; text: string; headers: HeaderList; etag?: string },
): undefined {
  if (namesEtag(req.headers['if-none-match'], document.etag)) answerNotModified(res, document.headers)
  else answerText(res, 200, document.type, document.text, document.headers)
}
