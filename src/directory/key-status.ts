/** Whether tokens that were issued for a key are still accepted by the check. A deleted key counts as revoked. */
export type KeyStatus = 'good' | 'revoked' | 'tenant_suspended' | 'key_disabled'

/** The holder of a token: the claims `sub` and `tenant`. */
export interface TokenHolder {
  keyId: string
  tenantId: string
}

/** The most severe status wins. Expiry does not matter here: no token outlives its key. */
export function keyStatusOf(key: { revoked: boolean; suspended: boolean; disabled: boolean }): KeyStatus {
  if (key.revoked) return 'revoked'
  if (key.suspended) return 'tenant_suspended'
  return key.disabled ? 'key_disabled' : 'good'
}
