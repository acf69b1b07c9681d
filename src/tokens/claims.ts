import type { Caller } from '../authentication/authenticator.ts'
import { RESERVED_NAME } from '../tenants/name.ts'
import type { EffectiveRights } from '../tenants/rights.ts'
import { type LimitsClaim, limitsClaim } from './limits-claim.ts'

/**
 * tokens/ issues and verifies the JWTs. This file is the contract with every gateway: flat claims of strings and string
 * lists, because Envoy renders a negative number as a float and a list as base64, and Istio matches neither
 * (docs/decisions/0004-flat-string-claims.md); `limits` alone is an object. RFC 9068 §2.2 defines the registered ones.
 */
export interface AccessTokenClaims {
  iss: string
  sub: string
  client_id: string
  /** A single audience is a plain string: HAProxy 2.6 cannot read a list. */
  aud: string | readonly string[]
  iat: number
  exp: number
  jti: string
  scope: string
  tenant: string
  /** Distinguishes the workloads of one key, such as pods. */
  workload?: string
  /** What revokes all tokens of the key or the tenant names. Tokens of earlier versions have none. */
  key_epoch?: string
  tenant_epoch?: string
  tier: string
  /** A decimal integer on vLLM's scale: a lower value is served sooner. */
  priority: string
  models: readonly string[]
  adapters: readonly string[]
  /** The same names as `adapters`, in a form that survives claim-to-header mapping. */
  adapter_list: string
  /** Read by rate limits as metadata, never made a header. Absent: nothing is limited. */
  limits?: LimitsClaim
}

/** Bytes. No token that we sign has as many (test/tokens/token-size.test.ts), so verifiers do not parse a longer one. */
export const LONGEST_TOKEN_BYTES = 6_144

/** RFC 9068 §2.1. */
export const ACCESS_TOKEN_TYPE = 'at+jwt'

export interface Issuance {
  issuer: string
  caller: Caller
  scopes: readonly string[]
  audiences: readonly string[]
  tokenId: string
}

/** The claims that depend on the rights only, with their JSON text: shared by all tokens of the same rights. */
type RightsClaims = Pick<
  AccessTokenClaims,
  'tier' | 'priority' | 'models' | 'adapters' | 'adapter_list' | 'limits'
>
const byRights = new WeakMap<EffectiveRights, { claims: RightsClaims; json: string }>()

function rightsClaims(rights: EffectiveRights): { claims: RightsClaims; json: string } {
  const known = byRights.get(rights)
  if (known) return known
  const limits = limitsClaim(rights.limits)
  const claims = {
    tier: rights.tier,
    priority: String(rights.priority),
    models: rights.models,
    adapters: rights.adapters,
    adapter_list: rights.adapters.join(' ') || RESERVED_NAME,
    ...(limits && { limits }),
  }
  const added = { claims, json: JSON.stringify(claims) }
  byRights.set(rights, added)
  return added
}

type OwnClaims = Omit<AccessTokenClaims, keyof RightsClaims>

/** One instant dates the whole token; it never outlives its key or secret. */
function ownClaims({ issuer, caller, scopes, audiences, tokenId }: Issuance): OwnClaims {
  const issuedAt = Math.floor(caller.at / 1000)
  const expiresAt = issuedAt + caller.rights.tokenTtlSeconds
  const [first] = audiences
  if (first === undefined) throw new Error('a token needs an audience')
  return {
    iss: issuer,
    sub: caller.keyId,
    client_id: caller.keyId,
    aud: audiences.length === 1 ? first : [...audiences],
    iat: issuedAt,
    exp: caller.endsAt === null ? expiresAt : Math.min(expiresAt, Math.floor(caller.endsAt / 1000)),
    jti: tokenId,
    scope: scopes.join(' '),
    tenant: caller.tenantId,
    ...(caller.workload !== undefined && { workload: caller.workload }),
    key_epoch: caller.keyEpoch,
    tenant_epoch: caller.tenantEpoch,
  }
}

/** The claims of a token and their JSON text. The part that depends on the rights is cached. */
export function accessTokenClaims(issuance: Issuance): { claims: AccessTokenClaims; json: string } {
  const own = ownClaims(issuance)
  const rights = rightsClaims(issuance.caller.rights)
  const json = `${JSON.stringify(own).slice(0, -1)},${rights.json.slice(1)}`
  return { claims: { ...own, ...rights.claims }, json }
}
