import type { ApiKey, ApiKeySecret } from './api-key.ts'

/**
 * Whether a key is live, said once: what revocation, ends and switches make of a key and of its secrets at a moment.
 * Time is compared at every use; nothing has to happen when it passes. key-state-repository.ts says the same in SQL,
 * and test/api-keys/key-state.test.ts holds the two to one answer.
 */
export type KeyState = 'active' | 'disabled' | 'expired' | 'revoked'
export type SecretState = 'live' | 'ending' | 'ended' | 'revoked'

/** What can be revoked for good and may have an end, in epoch milliseconds: a key, a secret, an admin token. */
export interface Term {
  revoked: boolean
  endsAt: number | null
}

export interface KeyTerm extends Term {
  disabled: boolean
}

/** `now` in epoch milliseconds. What ends at an instant is over at that instant; with `restMs`, once less is left. */
export const isOver = (endsAt: number | null, now: number, restMs = 0): boolean =>
  endsAt !== null && (endsAt <= now || endsAt - now < restMs)

export function keyState(key: KeyTerm, now: number, restMs = 0): KeyState {
  if (key.revoked) return 'revoked'
  if (isOver(key.endsAt, now, restMs)) return 'expired'
  return key.disabled ? 'disabled' : 'active'
}

/** A secret ends with its key at the latest. Disabling a key leaves its secrets as they are. */
export function secretState(secret: Term, key: KeyTerm, now: number, restMs = 0): SecretState {
  const ofKey = keyState(key, now, restMs)
  if (secret.revoked || ofKey === 'revoked') return 'revoked'
  if (ofKey === 'expired' || isOver(secret.endsAt, now, restMs)) return 'ended'
  return secret.endsAt === null ? 'live' : 'ending'
}

/** With less than this left there is no whole second to issue a token for. */
const SHORTEST_REST_MS = 1000

export type Obstacle =
  | 'key_revoked'
  | 'secret_revoked'
  | 'key_expired'
  | 'secret_ended'
  | 'tenant_suspended'
  | 'key_disabled'

/** What keeps a secret from being exchanged now, the gravest first; undefined: nothing does. */
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

/** The records as the rules above take them. */
export const keyTerm = (key: Pick<ApiKey, 'revokedAt' | 'expiresAt' | 'disabledAt'>): KeyTerm => ({
  revoked: key.revokedAt !== null,
  endsAt: key.expiresAt?.getTime() ?? null,
  disabled: key.disabledAt !== null,
})

export const secretTerm = (secret: Pick<ApiKeySecret, 'revokedAt' | 'endsAt'>): Term => ({
  revoked: secret.revokedAt !== null,
  endsAt: secret.endsAt?.getTime() ?? null,
})

/** Secrets that still open something: at most two. Oldest first. */
export function usableSecrets(
  key: Pick<ApiKey, 'secrets' | 'revokedAt' | 'expiresAt' | 'disabledAt'>,
  now: number,
): ApiKeySecret[] {
  const isUsable = (secret: ApiKeySecret) =>
    ['live', 'ending'].includes(secretState(secretTerm(secret), keyTerm(key), now))
  return key.secrets.filter(isUsable).reverse()
}
