import type { Authenticator, Caller } from '../authentication/authenticator.ts'
import type { GatewayModel } from '../config/gateway-config.ts'
import type { KeyStatus, TokenHolder } from '../directory/key-status.ts'
import { Unavailable } from '../errors.ts'
import { RequestError } from '../http/request-error.ts'
import type { RefusalReason } from '../refusal-reasons.ts'
import { audienceObstacle, maySend } from '../tenants/rights.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import type { IssuedTokens } from '../tokens/issued-tokens.ts'
import type { TokenFault } from '../tokens/token-fault.ts'
import type { AccessToken, TokenIssuer } from '../tokens/token-issuer.ts'
import type { TokenReader } from '../tokens/token-reader.ts'
import { type CheckedRequest, gatewayRequestId, modelOf, shownBy } from './check-request.ts'
import { type Denial, type DenialCode, denial } from './denial.ts'
import { REQUIRED_SCOPE } from './headers.ts'

/** Ids for the log. */
type About = Record<string, string | undefined>

/** The caller: the token that is forwarded upstream, and its claims. */
export interface Admitted {
  jwt: string
  claims: AccessTokenClaims
  about: About
}

export type Decision = { allowed: true; admitted: Admitted } | Refused

/** `reason`: for the logs of Mintmark and of the gateway. The client reads the denial only. */
export interface Refused {
  allowed: false
  denial: Denial
  reason: RefusalReason
  about: About
}

/**
 * Authorizes a request on behalf of a gateway (ext_authz, auth_request): a valid API key is exchanged for a token, a
 * valid token passes unchanged, everything else is denied. Independent of the transport: http-check.ts and
 * grpc-check.ts both call it. It decides by the credential and the model only, never by a path or an address, which the
 * client controls.
 */
export class GatewayAuthorizer {
  readonly #parts: GatewayAuthorizerParts

  constructor(parts: GatewayAuthorizerParts) {
    this.#parts = parts
  }

  /**
   * The credential is checked first: of a request that is denied for it, the body is not read. An internal fault is a
   * denial with 503. @throws {RequestError} when the body cannot be read
   */
  async decide(request: CheckedRequest): Promise<Decision> {
    const decision = await this.#decide(request)
    const id = gatewayRequestId(request)
    if (id !== undefined) {
      const { about } = decision.allowed ? decision.admitted : decision
      about.gateway_request_id = id
    }
    return decision
  }

  async #decide(request: CheckedRequest): Promise<Decision> {
    try {
      const waiting = this.#parts.afterPause()
      if (waiting !== undefined) await waiting
      const identified = await this.#identify(request)
      if (!identified.allowed) return identified
      const { about, claims } = identified.admitted
      const refusal = await this.#modelRefusal(request, claims)
      return refusal ? { allowed: false, ...refusal, about } : identified
    } catch (cause) {
      if (cause instanceof RequestError) throw cause
      const retryAfterSeconds = cause instanceof Unavailable ? cause.retryAfterSeconds : 1
      const refusal = denial('unavailable', { retryAfterSeconds, cause })
      return { allowed: false, denial: refusal, reason: 'unavailable', about: {} }
    }
  }

  async #identify(request: CheckedRequest): Promise<Decision> {
    const shown = shownBy(request, this.#parts.keyHeaders)
    switch (shown.kind) {
      case 'nothing':
        return denied('missing_credential')
      case 'ambiguous':
        return denied('ambiguous_credential')
      case 'unreadable':
        return denied('invalid_api_key', {}, 'malformed')
      case 'key':
        return this.#admitKey(shown.secret, request.source)
      case 'token':
        return this.#admitToken(shown.jwt)
      default:
        return shown satisfies never
    }
  }

  async #admitKey(secret: string, source: string | undefined): Promise<Decision> {
    const credential = { clientId: undefined, secret }
    const authentication = await this.#parts.authenticator.authenticate(credential, source)
    if (!authentication.ok) {
      const { kind, reason, keyId } = authentication
      return denied(kind === 'invalid' ? 'invalid_api_key' : reason, { client_id: keyId }, reason)
    }
    const { caller } = authentication
    const about: About = { client_id: caller.keyId, tenant: caller.tenantId }
    const obstacle = audienceObstacle(caller.rights, this.#parts.audience, REQUIRED_SCOPE)
    if (obstacle) return denied(obstacle, about)
    const { jwt, claims, tokenId, kid } = await this.#issue(caller)
    return { allowed: true, admitted: { jwt, claims, about: { ...about, token_id: tokenId, kid } } }
  }

  /** Issues what an exchange for this audience would: a token with all the caller's scopes. */
  #issue(caller: Caller): Promise<AccessToken> {
    const { issued, tokenIssuer, audience, exchanged } = this.#parts
    return issued.of(caller, async () => {
      const token = await tokenIssuer.issue(caller, { scopes: caller.rights.scopes, audiences: [audience] })
      exchanged(caller)
      return token
    })
  }

  async #admitToken(jwt: string): Promise<Decision> {
    const { tokens, now, keyStatusOf, isDenied } = this.#parts
    const read = await tokens.read(jwt, now())
    if ('fault' in read) return refusedToken(read.fault)
    const { claims } = read
    const about: About = { client_id: claims.sub, tenant: claims.tenant, token_id: claims.jti }
    // A suspension revokes issued tokens as well, and has a reason that the holder can act on.
    const status = await keyStatusOf({ keyId: claims.sub, tenantId: claims.tenant })
    if (status === 'revoked') return denied('invalid_token', about, 'key_revoked')
    if (status !== 'good') return denied(status, about)
    if (isDenied(claims)) return denied('invalid_token', about, 'token_revoked')
    return { allowed: true, admitted: { jwt, claims, about } }
  }

  /** A model that is neither in `models` nor in `adapters` is denied. */
  async #modelRefusal(
    request: CheckedRequest,
    { models, adapters }: AccessTokenClaims,
  ): Promise<Pick<Refused, 'denial' | 'reason'> | undefined> {
    const named = await modelOf(request, this.#parts.model)
    switch (named.kind) {
      case 'not_asked':
        return undefined
      case 'missing':
        return because('model_missing')
      case 'unreadable':
        return because('invalid_body', named.fault)
      case 'named':
        return maySend(named.model, { models, adapters }) ? undefined : because('model_not_allowed')
      default:
        return named satisfies never
    }
  }
}

export interface GatewayAuthorizerParts {
  /** The audience of issued tokens, and the only one accepted. */
  audience: string
  model: GatewayModel
  /** Headers that may carry an API key, in addition to `Authorization`. */
  keyHeaders: readonly string[]
  authenticator: Authenticator
  tokenIssuer: TokenIssuer
  issued: IssuedTokens
  /** Called for each token that was issued. */
  exchanged: (caller: Caller) => void
  tokens: TokenReader
  keyStatusOf: (holder: TokenHolder) => Promise<KeyStatus>
  /** Whether the token was ended before its expiry. */
  isDenied: (claims: AccessTokenClaims) => boolean
  /** Settles when this replica has caught up after a pause; undefined: there was none. */
  afterPause: () => Promise<void> | undefined
  /** Database time in epoch milliseconds. */
  now: () => number
}

/** Codes that name the reason themselves. */
type ExactCode = Exclude<DenialCode, 'invalid_api_key' | 'invalid_token'>

const because = (reason: ExactCode, detail?: string): Pick<Refused, 'denial' | 'reason'> => ({
  denial: denial(reason, detail === undefined ? {} : { detail }),
  reason,
})

function denied(code: ExactCode, about?: About): Refused
function denied(code: DenialCode, about: About, reason: RefusalReason): Refused
function denied(code: DenialCode, about: About = {}, reason: RefusalReason = code as ExactCode): Refused {
  return { allowed: false, denial: denial(code), reason, about }
}

/** A valid token with other scopes: 403 as at the gateways that verify tokens (RFC 6750 section 3.1, insufficient_scope). */
function refusedToken(fault: TokenFault): Refused {
  if (fault !== 'token_scope') return denied('invalid_token', {}, fault)
  const detail = `The token does not have the scope \`${REQUIRED_SCOPE}\`.`
  return { allowed: false, denial: denial('scope_not_granted', { detail }), reason: fault, about: {} }
}
