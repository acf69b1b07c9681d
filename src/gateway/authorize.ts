import type { Authenticator, Caller } from '../authentication/authenticator.ts'
import type { GatewayModel } from '../config/gateway-config.ts'
import type { KeyStatus, TokenHolder } from '../directory/key-status.ts'
import { Unavailable } from '../errors.ts'
import { RequestError } from '../http/request-error.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import type { MintedTokens } from '../tokens/minted-tokens.ts'
import type { AccessToken, TokenIssuer } from '../tokens/token-issuer.ts'
import type { TokenReader } from '../tokens/token-reader.ts'
import { type CheckedRequest, modelOf, shownBy } from './check-request.ts'
import { type Denial, denial } from './denial.ts'
import { REQUIRED_SCOPE } from './headers.ts'

/** Ids and reasons for the log. */
type About = Record<string, string | undefined>

/** The caller: the token that is forwarded upstream, and its claims. */
export interface Admitted {
  jwt: string
  claims: AccessTokenClaims
  about: About
}

export type Decision =
  | { allowed: true; admitted: Admitted }
  | { allowed: false; denial: Denial; about: About }

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
    try {
      const waiting = this.#parts.afterPause()
      if (waiting !== undefined) await waiting
      const identified = await this.#identify(request)
      if (!identified.allowed) return identified
      const { about, claims } = identified.admitted
      const refusal = await this.#modelRefusal(request, claims)
      return refusal ? { allowed: false, denial: refusal, about } : identified
    } catch (cause) {
      if (cause instanceof RequestError) throw cause
      const retryAfterSeconds = cause instanceof Unavailable ? cause.retryAfterSeconds : 1
      return { allowed: false, denial: denial('unavailable', { retryAfterSeconds, cause }), about: {} }
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
        return denied('invalid_api_key', { reason: 'malformed' })
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
      return denied(kind === 'invalid' ? 'invalid_api_key' : reason, { reason, client_id: keyId })
    }
    const { caller } = authentication
    const about: About = { client_id: caller.keyId, tenant: caller.tenantId }
    if (!caller.rights.audiences.includes(this.#parts.audience)) return denied('audience_not_granted', about)
    if (!caller.rights.scopes.includes(REQUIRED_SCOPE)) return denied('scope_not_granted', about)
    const { jwt, claims, tokenId, kid } = await this.#mint(caller)
    return { allowed: true, admitted: { jwt, claims, about: { ...about, token_id: tokenId, kid } } }
  }

  /** Issues what an exchange for this audience would: a token with all the caller's scopes. */
  async #mint(caller: Caller): Promise<AccessToken> {
    const { minted, tokenIssuer, audience, exchanged } = this.#parts
    const kept = minted.find(caller)
    if (kept) return kept
    const token = await tokenIssuer.issue(caller, { scopes: caller.rights.scopes, audiences: [audience] })
    minted.keep(caller, token)
    exchanged(caller)
    return token
  }

  async #admitToken(jwt: string): Promise<Decision> {
    const { tokens, now, keyStatusOf, isDenied } = this.#parts
    const read = await tokens.read(jwt, now())
    if ('fault' in read) return refusedToken(read.fault)
    const { claims } = read
    const about: About = { client_id: claims.sub, tenant: claims.tenant, token_id: claims.jti }
    // A suspension ends issued tokens as well, and has a reason that the holder can act on.
    const status = await keyStatusOf({ keyId: claims.sub, tenantId: claims.tenant })
    if (status === 'revoked') return denied('invalid_token', { ...about, reason: 'key_revoked' })
    if (status !== 'good') return denied(status, about)
    if (isDenied(claims)) return denied('invalid_token', { ...about, reason: 'token_revoked' })
    return { allowed: true, admitted: { jwt, claims, about } }
  }

  /** A model that is neither in `models` nor in `adapters` is denied. */
  async #modelRefusal(
    request: CheckedRequest,
    { models, adapters }: AccessTokenClaims,
  ): Promise<Denial | undefined> {
    const named = await modelOf(request, this.#parts.model)
    switch (named.kind) {
      case 'not_asked':
        return undefined
      case 'missing':
        return denial('model_missing')
      case 'unreadable':
        return denial('invalid_body', { detail: named.fault })
      case 'named':
        return models.includes(named.model) || adapters.includes(named.model)
          ? undefined
          : denial('model_not_allowed')
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
  minted: MintedTokens
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

function denied(code: Parameters<typeof denial>[0], about: About = {}): Decision {
  return { allowed: false, denial: denial(code), about }
}

/** A valid token with other scopes: 403 as at the gateways that verify tokens (RFC 6750 section 3.1, insufficient_scope). */
function refusedToken(fault: string): Decision {
  if (fault !== 'scope') return denied('invalid_token', { reason: fault })
  const detail = `The token does not have the scope \`${REQUIRED_SCOPE}\`.`
  return { allowed: false, denial: denial('scope_not_granted', { detail }), about: { reason: fault } }
}
