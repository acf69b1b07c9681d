/** What a key is worth to whoever holds a token that was issued for it. A deleted key counts as revoked. */
export type KeyStanding = 'good' | 'revoked' | 'tenant_suspended' | 'key_disabled'

/** The holder of a token: the claims `sub` and `tenant`. */
export interface TokenHolder {
  keyId: string
  tenantId: string
}
