/** Whether tokens that were issued for a key are still accepted by the check. A deleted key counts as revoked. */
export type KeyStatus = 'good' | 'revoked' | 'tenant_suspended' | 'key_disabled'

/** The holder of a token: the claims `sub` and `tenant`. */
export interface TokenHolder {
  keyId: string
  tenantId: string
}

/** The gravest first. That a key has ended does not matter here: no token for it outlives it. */
export function keyStatusOf(key: { revoked: boolean; suspended: boolean; disabled: boolean }): KeyStatus {
  if (key.revoked) return 'revoked'
  if (key.suspended) return 'tenant_suspended'
  return key.disabled ? 'key_disabled' : 'good'
}
