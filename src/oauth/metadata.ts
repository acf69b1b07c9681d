import type { RequestHandler } from 'express'
import { answerJson, answerNotModified, headerList, namesEtag } from '../http/answer.ts'
import type { DirectHandler } from '../http/direct-routes.ts'
import { RequestError } from '../http/request-error.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import { GRANT_TYPES } from './token-request.ts'

export const PATHS = {
  token: '/oauth/token',
  jwks: '/.well-known/jwks.json',
  pem: '/.well-known/jwks/:kid.pem',
  openid: '/.well-known/openid-configuration',
  oauth: '/.well-known/oauth-authorization-server',
} as const

/**
 * RFC 8414 §2 and OpenID Connect Discovery §3. `issuer` is byte-equal to the tokens' `iss`. There is no authorization
 * endpoint, so no response type either; `none` stands where the standards ask for a list that must not be empty
 * (docs/divergences.md).
 */
export function metadata(issuer: string, ring: () => KeyRing): RequestHandler {
  return (_req, res) => {
    res.set({ 'Cache-Control': 'public, max-age=300', 'Access-Control-Allow-Origin': '*' }).json({
      issuer,
      token_endpoint: issuer + PATHS.token,
      jwks_uri: issuer + PATHS.jwks,
      grant_types_supported: GRANT_TYPES,
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      response_types_supported: ['none'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ring().algs,
    })
  }
}

/** The JWK Set. `maxAgeSeconds` is how long a verifier may keep it: well under the publish lead. */
export function jwks(ring: () => KeyRing, maxAgeSeconds: () => number): DirectHandler {
  let last = { etag: '', maxAge: 0, headers: headerList() }
  return (req, res) => {
    const { jwks, etag } = ring()
    const maxAge = maxAgeSeconds()
    if (last.etag !== etag || last.maxAge !== maxAge)
      last = { etag, maxAge, headers: jwksHeaders(etag, maxAge) }
    if (namesEtag(req.headers['if-none-match'], etag)) answerNotModified(res, last.headers)
    else answerJson(res, 200, jwks, last.headers)
  }
}

const jwksHeaders = (etag: string, maxAge: number) =>
  headerList({
    'Cache-Control': `public, max-age=${maxAge}`,
    'Access-Control-Allow-Origin': '*',
    ETag: etag,
  })

/** One published key as SubjectPublicKeyInfo in PEM. */
export function pem(ring: () => KeyRing, maxAgeSeconds: () => number): RequestHandler {
  return (req, res) => {
    const text = ring().pem(String(req.params.kid))
    if (!text) throw new RequestError(404, 'No published key has this kid.')
    res.set({ 'Cache-Control': `public, max-age=${maxAgeSeconds()}`, 'Access-Control-Allow-Origin': '*' })
    res.type('application/x-pem-file').send(text)
  }
}
