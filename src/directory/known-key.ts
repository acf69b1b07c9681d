import type { ImportedHash } from '../api-keys/imported/imported-hash.ts'
import type { SecretProof } from '../api-keys/imported/secret-proof.ts'
import type { Limits } from '../tenants/limits.ts'
import type { ModelFacts } from '../tenants/model.ts'
import type { Catalogue, KeyRights } from '../tenants/rights.ts'
import type { TenantRights } from '../tenants/tenant-settings.ts'
import type { SecretSnapshot } from './directory.ts'

/** A key with its usable secrets. Instants are epoch milliseconds. */
export interface KnownKey {
  id: string
  tenantId: string
  expiresAt: number | null
  disabled: boolean
  /** The claim `key_epoch`. */
  epoch: string
  rights: KeyRights
  secrets: readonly KnownSecret[]
  /** An imported secret of the key is not genuine, or cannot be verified here, and is left out. */
  incomplete?: true
  /** One of these is sealed with a key that this process does not have. */
  unverifiable?: true
}

export interface KnownSecret {
  id: string
  /** The lookup key of the index: a digest in base64, or the name of an imported client. */
  digest: string
  endsAt: number | null
  /** Absent: a Mintmark secret. */
  imported?: ImportedHash
  /** Of the imported hash. */
  proof?: SecretProof
}

export interface KnownTenant {
  id: string
  suspended: boolean
  /** The claim `tenant_epoch`. */
  epoch: string
  /** Seconds; null: the policy's limit; 0: each exchange queries Postgres. */
  stalenessSeconds: number | null
  rights: TenantRights
}

/** All that a directory holds, as values. Keys and tenants are immutable. */
export interface KnownContents {
  priorities: readonly (readonly [tier: string, priority: number])[]
  tierLimits: readonly (readonly [tier: string, limits: Limits])[]
  models: readonly string[]
  modelFacts: readonly (readonly [name: string, facts: ModelFacts])[]
  overflowed: boolean
  /** Ids of keys of which an imported secret was left out. */
  incomplete: readonly string[]
  tenants: readonly KnownTenant[]
  keys: readonly KnownKey[]
}

/** All that an exchange needs, of a usable secret. */
export function snapshotOf(known: {
  key: KnownKey
  secret: KnownSecret
  tenant: KnownTenant
  catalogue: Catalogue
}): SecretSnapshot {
  const { key, secret, tenant, catalogue } = known
  return {
    secretId: secret.id,
    secretDigest: secret.digest,
    secretEndsAt: secret.endsAt,
    secretRevoked: false,
    ...(secret.imported && { imported: secret.imported }),
    ...(secret.proof && { proof: secret.proof }),
    keyId: key.id,
    keyExpiresAt: key.expiresAt,
    keyDisabled: key.disabled,
    keyRevoked: false,
    keyRights: key.rights,
    keyEpoch: key.epoch,
    tenantId: tenant.id,
    tenantSuspended: tenant.suspended,
    tenantRights: tenant.rights,
    tenantEpoch: tenant.epoch,
    catalogue,
  }
}
