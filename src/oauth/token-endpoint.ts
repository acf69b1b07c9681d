import type { RequestHandler, Response } from 'express'
import type { Authentication, Authenticator, Caller } from '../api-keys/authenticator.ts'
import { eventOf } from '../http/request-context.ts'
import type { AccessToken, TokenIssuer } from '../tokens/token-issuer.ts'
import { authorizeClientCredentials, type Grant } from './client-credentials.ts'
import { OAuthError } from './oauth-error.ts'
import { type AuthenticationMethod, parseTokenRequest, type TokenRequest } from './token-request.ts'

/**
 * oauth/ is the front door: `POST /oauth/token` (RFC 6749 §3.2) and the documents that describe it. The endpoint owns
 * the steps that keep it safe; a grant only says what may be issued.
 */
export function tokenEndpoint(options: {
  authenticator: Authenticator
  issuer: TokenIssuer
}): RequestHandler {
  return async (req, res) => {
    const request = parseTokenRequest(req)
    const authentication = await options.authenticator.authenticate(request.credential)
    const { caller, grant } = authorize(res, request, authentication)
    const token = await options.issuer.issue(caller, grant)
    respond(res, token)
  }
}

/** @throws {OAuthError} that tells nobody more than they may know; the log has the reason. */
function authorize(
  res: Response,
  request: TokenRequest,
  authentication: Authentication,
): { caller: Caller; grant: Grant } {
  const { fields } = eventOf(res)
  fields.auth_method = request.method
  if (!authentication.ok) {
    fields.reason = authentication.reason
    fields.client_id = authentication.keyId
    throw authentication.barred ? barred(authentication.reason) : unauthentic(request.method)
  }
  const { caller } = authentication
  fields.client_id = caller.keyId
  fields.tenant = caller.tenantId
  switch (request.grantType) {
    case 'client_credentials':
      return { caller, grant: authorizeClientCredentials(caller, request) }
    default:
      return request.grantType satisfies never
  }
}

/** Malformed, unknown, wrong, expired and revoked look exactly alike. */
function unauthentic(method: AuthenticationMethod): OAuthError {
  return new OAuthError('invalid_client', 'The API key is not valid.', {
    status: 401,
    // RFC 6749 §5.2: whoever tried the Authorization header is answered with a challenge of the same scheme.
    ...(method === 'client_secret_basic' && {
      headers: { 'WWW-Authenticate': 'Basic realm="mintmark", charset="UTF-8"' },
    }),
  })
}

/** The credential is right, so this is not `invalid_client`: the client would throw it away and not come back. */
function barred(reason: 'tenant_suspended' | 'key_disabled'): OAuthError {
  const what = reason === 'tenant_suspended' ? 'The tenant is suspended.' : 'The API key is disabled.'
  return new OAuthError('unauthorized_client', `${what} Ask whoever runs this service.`)
}

/** RFC 6749 §5.1. */
function respond(res: Response, token: AccessToken): void {
  Object.assign(eventOf(res).fields, { token_id: token.tokenId, kid: token.kid })
  res.set({ 'Cache-Control': 'no-store', Pragma: 'no-cache' }).json({
    access_token: token.jwt,
    token_type: 'Bearer',
    expires_in: token.expiresIn,
    scope: token.scope,
  })
}
