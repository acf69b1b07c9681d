import type { JWTPayload } from 'jose'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import { type AccessTokenClaims, LONGEST_TOKEN_BYTES } from './claims.ts'
import { type TokenFault, tokenFaultOf } from './token-fault.ts'
import { verifyAccessToken } from './token-verifier.ts'

/** What a token must be for; undefined: any audience, any scope. */
interface Expected {
  ring: () => KeyRing
  issuer: string
  audience?: string
  scope?: string
}

/** Verifies tokens of this issuer that have not expired. */
export class TokenReader {
  readonly #expected: Expected

  constructor(expected: Expected) {
    this.#expected = expected
  }

  /** `now` in epoch milliseconds. The reason of a failure is for the log; the caller does not see it. */
  async read(jwt: string, now: number): Promise<{ claims: AccessTokenClaims } | { fault: TokenFault }> {
    const { ring, issuer, audience, scope } = this.#expected
    if (jwt.length >= LONGEST_TOKEN_BYTES) return { fault: 'token_too_long' }
    try {
      const wanted = { ring: ring(), issuer, ...(audience !== undefined && { audience }), now }
      const payload = await verifyAccessToken(jwt, wanted)
      if (!isAccessToken(payload)) return { fault: 'token_claims' }
      return scope === undefined || payload.scope.split(' ').includes(scope)
        ? { claims: payload }
        : { fault: 'token_scope' }
    } catch (error) {
      return { fault: tokenFaultOf(error) }
    }
  }
}

const TEXTS = ['sub', 'client_id', 'jti', 'scope', 'tenant', 'tier', 'priority', 'adapter_list'] as const
const LISTS = ['models', 'adapters'] as const

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** True for every token that we sign; the mapping of claims to headers depends on it. */
function isAccessToken(payload: JWTPayload): payload is JWTPayload & AccessTokenClaims {
  return (
    TEXTS.every(name => isText(payload[name])) &&
    LISTS.every(name => Array.isArray(payload[name]) && payload[name].every(isText))
  )
}
