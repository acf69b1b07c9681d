import type { Imports } from '../api-keys/imported/imported-client.ts'
import type { ImportedHash } from '../api-keys/imported/imported-hash.ts'
import type { SecretProof } from '../api-keys/imported/secret-proof.ts'
import type { Catalogue, KeyRights } from '../tenants/rights.ts'
import type { TenantRights } from '../tenants/tenant-settings.ts'

/** Everything that an exchange needs about a presented secret. Instants are epoch milliseconds. */
export interface SecretSnapshot {
  secretId: string
  /** What it was looked up by: a digest in base64, or the name of an imported client. */
  secretDigest: string
  /** Absent: a Mintmark secret. */
  imported?: ImportedHash
  /** Of the imported hash. Absent: no secret was seen to match it. */
  proof?: SecretProof
  secretEndsAt: number | null
  secretRevoked: boolean
  keyId: string
  keyExpiresAt: number | null
  keyDisabled: boolean
  keyRevoked: boolean
  keyRights: KeyRights
  keyEpoch: string
  tenantId: string
  tenantSuspended: boolean
  tenantRights: TenantRights
  tenantEpoch: string
  catalogue: Catalogue
}

/** Whether the secret is unusable at any time: it or its key was revoked. */
export const isRevoked = ({ keyRevoked, secretRevoked }: SecretSnapshot): boolean =>
  keyRevoked || secretRevoked

/** Looks up secrets by their digests under the configured peppers (`KeyDigests.names`). */
export interface Directory {
  /** From memory: undefined when the secret is unknown or too stale. */
  find(names: readonly string[]): SecretSnapshot | undefined
  /** Whether the secret is in memory, however stale. */
  knows(names: readonly string[]): boolean
  knowsKey(keyId: string): boolean
  /** Summary of the imported clients; undefined: there are none. */
  readonly imports: Imports | undefined
  /** As `find`, `knows` and `lookUp`, for an imported client by its own client_id. */
  findClient(clientId: string): SecretSnapshot | undefined
  knowsClient(clientId: string): boolean
  lookUpClient(clientId: string): Promise<SecretSnapshot | undefined>
  /**
   * The name, for `find` and `lookUp`, of the imported secret with this SHA-256 (hex) that needs no client_id. From memory only,
   * because nothing distinguishes a wrong one from a right one before.
   */
  nameOfHash(sha256: string): string | undefined
  /** Number of these secrets. */
  readonly lookups: number
  /** Imported secrets that this process cannot verify were left out. */
  readonly lacksImported: boolean
  /** From Postgres. @throws {Unavailable} when the lookup fails. */
  lookUp(names: readonly string[]): Promise<SecretSnapshot | undefined>
}
