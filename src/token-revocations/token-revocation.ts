/** The claims of a token that the deny list names. */
export const DENIED_CLAIMS = ['jti', 'key_epoch', 'tenant_epoch'] as const
export type DeniedClaim = (typeof DENIED_CLAIMS)[number]

/** An entry of the deny list: tokens with this value of this claim are rejected. */
export interface DeniedValue {
  claim: DeniedClaim
  value: string
  /** Whose tokens; null: of one token, not known. Absent in snapshots of versions before it. */
  tenantId?: string | null
  /** No token has the value later than this. Epoch milliseconds, database time. */
  endsAt: number
}

/** A stored entry. */
export interface TokenRevocation {
  /** `trv_` and 16 characters. */
  id: string
  claim: DeniedClaim
  value: string
  /** null: tokens of all keys of the tenant, or a token whose key is not known. */
  keyId: string | null
  tenantId: string | null
  reason: string | null
  createdAt: Date
  endsAt: Date
}

/** What to end: one token, or all issued tokens of a key or a tenant. */
export type Ended = { jti: string } | { key: string } | { tenant: string }

/** The identity of a token. Tokens of versions before the deny list have no epochs. */
export interface IdentifiedToken {
  jti: string
  sub: string
  tenant: string
  key_epoch?: string
  tenant_epoch?: string
}
