import type { Tombstones } from '../tombstones/tombstones.ts'
import type { SecretSnapshot } from './directory.ts'
import { type KeyStatus, keyStatusOf, type TokenHolder } from './key-status.ts'

/** The secret, ended or suspended as this process knows it, also when a restored database says otherwise. */
export function withTombstones(
  snapshot: SecretSnapshot | undefined,
  tombstones: Pick<Tombstones, 'has' | 'endOf'>,
): SecretSnapshot | undefined {
  if (!snapshot) return undefined
  const { secretId, secretEndsAt } = snapshot
  const ended = tombstones.endOf('secret_ended', secretId)
  const { revoked, suspended, disabled } = endsOf(snapshot, tombstones)
  if (ended === undefined && !revoked && !suspended && !disabled) return snapshot
  return {
    ...snapshot,
    secretEndsAt: ended === undefined ? secretEndsAt : Math.min(ended, secretEndsAt ?? ended),
    keyRevoked: snapshot.keyRevoked || revoked,
    keyDisabled: snapshot.keyDisabled || disabled,
    tenantSuspended: snapshot.tenantSuspended || suspended,
  }
}

/** The same for a credential. One that was deleted is unknown. */
export const credentialWithTombstones = (
  snapshot: SecretSnapshot | undefined,
  tombstones: Pick<Tombstones, 'has' | 'endOf'>,
): SecretSnapshot | undefined =>
  snapshot && tombstones.has('credential_deleted', snapshot.secretId)
    ? undefined
    : withTombstones(snapshot, tombstones)

/** The status that a token's key has by tombstones alone. */
export const statusByTombstones = (holder: TokenHolder, tombstones: Pick<Tombstones, 'has'>): KeyStatus =>
  keyStatusOf(endsOf(holder, tombstones))

const endsOf = ({ keyId, tenantId }: TokenHolder, tombstones: Pick<Tombstones, 'has'>) => ({
  revoked: tombstones.has('key_revoked', keyId) || tombstones.has('tenant_deleted', tenantId),
  suspended: tombstones.has('tenant_suspended', tenantId),
  disabled: tombstones.has('key_disabled', keyId),
})
