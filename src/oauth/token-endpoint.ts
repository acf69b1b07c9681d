import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AuditedRefusals } from '../audit/audited-refusals.ts'
import type { Authentication, Authenticator, AuthFailure, Caller } from '../authentication/authenticator.ts'
import type { Workloads } from '../authentication/workloads.ts'
import { answerJson, headerList } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import { eventOf } from '../http/request-event.ts'
import type { Handler } from '../http/route-table.ts'
import type { RefusalReason } from '../refusal-reasons.ts'
import type { AccessToken, TokenIssuer } from '../tokens/token-issuer.ts'
import { admitWorkload } from './assertion-refusal.ts'
import { ACCESS_TOKEN, JWT_BEARER, TOKEN_EXCHANGE } from './assertion-request.ts'
import { authorizeClientCredentials, type Grant } from './client-credentials.ts'
import type { ExchangeCounts } from './exchange-outcomes.ts'
import { OAuthError } from './oauth-error.ts'
import type { AuthenticationMethod, TokenRequest } from './token-request.ts'

export const LONGEST_FORM_BYTES = 16_384
/** RFC 6749 §5.1, in addition to `Cache-Control: no-store`. */
const HEADERS = headerList({ Pragma: 'no-cache' })

/** Parses a request once; nothing else reads it. */
export type ParseRequest = (req: { url: string; headers: IncomingHttpHeaders; body: Buffer }) => TokenRequest

/** What authenticates a client: its API key, or its assertion. */
export interface ClientAuthentication {
  authenticator: Authenticator
  workloads: Workloads
  refusals: AuditedRefusals
}

/**
 * oauth/ is the public API: `POST /oauth/token` (RFC 6749 §3.2), revocation, introspection, and the documents that describe them. The
 * endpoint owns the security steps; the function of a grant type only decides what may be issued.
 */
export function tokenEndpoint(
  options: ClientAuthentication & {
    tokenIssuer: TokenIssuer
    parse: ParseRequest
    counts: ExchangeCounts
    /** A promise that settles when this replica has caught up after a pause. Undefined: it was not paused. */
    afterPause: () => Promise<void> | undefined
  },
): Handler {
  const { tokenIssuer, counts, afterPause, parse } = options
  return async (req, res) => {
    const body = await readBody(req, LONGEST_FORM_BYTES)
    const waiting = afterPause()
    if (waiting !== undefined) await waiting
    const request = parse({ url: req.url ?? '', headers: req.headers, body })
    const caller = await authenticate(options, request, res)
    const grant = authorize(caller, request)
    const token = await tokenIssuer.issue(caller, grant)
    respond(res, token, request)
    counts.issued(caller)
  }
}

/** The client of a request, by its secret or its assertion. @throws {OAuthError} as `admit` and `admitWorkload` */
export async function authenticate(
  { authenticator, workloads, refusals }: ClientAuthentication,
  { method, credential }: Pick<TokenRequest, 'method' | 'credential'>,
  res: ServerResponse,
  operation?: string,
): Promise<Caller> {
  const { source } = eventOf(res)
  if (!('assertion' in credential))
    return admit(res, method, await authenticator.authenticate(credential, source))
  return admitWorkload(res, credential, await workloads.authenticate(credential, source), refusals, operation)
}

/** @throws {OAuthError} that reveals no more than the caller may know; the log has the reason. */
function admit(res: ServerResponse, method: AuthenticationMethod, authentication: Authentication): Caller {
  const { fields } = eventOf(res)
  fields.auth_method = method
  if (!authentication.ok) {
    fields.reason = authentication.reason satisfies RefusalReason
    fields.client_id = authentication.keyId
    fields.client_unproven = authentication.isUnproven
    throw refused(authentication, method)
  }
  const { caller } = authentication
  fields.client_id = caller.keyId
  fields.tenant = caller.tenantId
  return caller
}

/** The authorization function of each grant type. */
const GRANTS = {
  client_credentials: authorizeClientCredentials,
  [TOKEN_EXCHANGE]: authorizeClientCredentials,
  [JWT_BEARER]: authorizeClientCredentials,
} satisfies Record<TokenRequest['grantType'], (caller: Caller, request: TokenRequest) => Grant>

/** @throws {NotGranted} when the caller requests more than it is granted. */
const authorize = (caller: Caller, request: TokenRequest): Grant => GRANTS[request.grantType](caller, request)

function refused(authentication: AuthFailure, method: AuthenticationMethod): OAuthError {
  switch (authentication.kind) {
    case 'invalid':
      return invalidClient(method)
    case 'unauthorized':
      return unauthorizedClient(authentication.reason)
    case 'rate_limited':
      return rateLimited('API keys', authentication.retryAfterSeconds)
  }
}

/** Malformed, unknown, wrong, expired and revoked keys get the same response. */
function invalidClient(method: AuthenticationMethod): OAuthError {
  return new OAuthError('invalid_client', 'Invalid API key.', {
    status: 401,
    // RFC 6749 §5.2: a client that used the Authorization header is answered with a challenge of the same scheme.
    ...(method === 'client_secret_basic' && {
      headers: { 'WWW-Authenticate': 'Basic realm="mintmark", charset="UTF-8"' },
    }),
  })
}

/** The credential is valid, so this is not `invalid_client`, on which clients discard it. */
function unauthorizedClient(reason: 'tenant_suspended' | 'key_disabled'): OAuthError {
  const what = reason === 'tenant_suspended' ? 'The tenant is suspended.' : 'The API key is disabled.'
  return new OAuthError('unauthorized_client', `${what} Contact the operator of this service.`)
}

/** The credential was not looked up, so this is not `invalid_client` either. */
export function rateLimited(
  what: 'API keys' | 'introspection tokens',
  retryAfterSeconds: number,
): OAuthError {
  return new OAuthError('slow_down', `Too many invalid ${what} from this address. Retry later.`, {
    status: 429,
    headers: { 'Retry-After': String(retryAfterSeconds) },
  })
}

/** RFC 6749 §5.1. */
function respond(res: ServerResponse, token: AccessToken, { grantType }: TokenRequest): void {
  const { fields } = eventOf(res)
  fields.token_id = token.tokenId
  fields.kid = token.kid
  // RFC 8693 §2.2.1.
  const issuedType = grantType === TOKEN_EXCHANGE ? `,"issued_token_type":"${ACCESS_TOKEN}"` : ''
  // Only a scope may need escaping, and JSON.stringify would look through the whole token for it.
  const body = `{"access_token":"${token.jwt}"${issuedType},"token_type":"Bearer","expires_in":${token.expiresIn},"scope":${JSON.stringify(token.scope)}}`
  answerJson(res, 200, body, HEADERS)
}
