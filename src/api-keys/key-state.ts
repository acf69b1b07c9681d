import type { ApiKey, ApiKeySecret } from './api-key.ts'

/**
 * The state of a key: the effect of revocation, ends and disabling on a key and its secrets at an instant. Time is
 * compared at every use; no job runs when it passes. key-state-repository.ts has the same rule in SQL, and
 * test/api-keys/key-state.test.ts compares the two.
 */
export type KeyState = 'active' | 'disabled' | 'expired' | 'revoked'
export type SecretState = 'live' | 'ending' | 'ended' | 'revoked'

/** Something that can be revoked and may have an end, in epoch milliseconds: a key, a secret, an admin token. */
export interface Term {
  revoked: boolean
  endsAt: number | null
}

export interface KeyTerm extends Term {
  disabled: boolean
}

/** `now` in epoch milliseconds. Over from the end instant on; with `restMs`, from that long before it. */
export const isOver = (endsAt: number | null, now: number, restMs = 0): boolean =>
  endsAt !== null && (endsAt <= now || endsAt - now < restMs)

export function keyState(key: KeyTerm, now: number, restMs = 0): KeyState {
  if (key.revoked) return 'revoked'
  if (isOver(key.endsAt, now, restMs)) return 'expired'
  return key.disabled ? 'disabled' : 'active'
}

/** A secret ends with its key at the latest. Disabling a key does not change its secrets. */
export function secretState(secret: Term, key: KeyTerm, now: number, restMs = 0): SecretState {
  const ofKey = keyState(key, now, restMs)
  if (secret.revoked || ofKey === 'revoked') return 'revoked'
  if (ofKey === 'expired' || isOver(secret.endsAt, now, restMs)) return 'ended'
  return secret.endsAt === null ? 'live' : 'ending'
}

/** With less time left a token could not be valid for a whole second. */
const SHORTEST_REST_MS = 1000

export type Obstacle =
  | 'key_revoked'
  | 'secret_revoked'
  | 'key_expired'
  | 'secret_ended'
  | 'tenant_suspended'
  | 'key_disabled'

/** Why a secret cannot be exchanged now, the most severe reason first; undefined: it can. */
export function obstacleTo(
  secret: Term,
  key: KeyTerm,
  tenant: { suspended: boolean },
  now: number,
): Obstacle | undefined {
  const ofKey = keyState(key, now, SHORTEST_REST_MS)
  const ofSecret = secretState(secret, key, now, SHORTEST_REST_MS)
  if (ofKey === 'revoked') return 'key_revoked'
  if (ofSecret === 'revoked') return 'secret_revoked'
  if (ofKey === 'expired') return 'key_expired'
  if (ofSecret === 'ended') return 'secret_ended'
  if (tenant.suspended) return 'tenant_suspended'
  return ofKey === 'disabled' ? 'key_disabled' : undefined
}

/** The records as input for the rules above. */
export const keyTerm = (key: Pick<ApiKey, 'revokedAt' | 'expiresAt' | 'disabledAt'>): KeyTerm => ({
  revoked: key.revokedAt !== null,
  endsAt: key.expiresAt?.getTime() ?? null,
  disabled: key.disabledAt !== null,
})

export const secretTerm = (secret: Pick<ApiKeySecret, 'revokedAt' | 'endsAt'>): Term => ({
  revoked: secret.revokedAt !== null,
  endsAt: secret.endsAt?.getTime() ?? null,
})

/** The usable secrets, oldest first: at most two. */
export function usableSecrets(
  key: Pick<ApiKey, 'secrets' | 'revokedAt' | 'expiresAt' | 'disabledAt'>,
  now: number,
): ApiKeySecret[] {
  const isUsable = (secret: ApiKeySecret) =>
    ['live', 'ending'].includes(secretState(secretTerm(secret), keyTerm(key), now))
  return key.secrets.filter(isUsable).reverse()
}
