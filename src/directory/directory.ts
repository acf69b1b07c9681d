import type { Imports } from '../api-keys/imported-client.ts'
import type { ImportedHash } from '../api-keys/imported-hash.ts'
import type { Catalogue, KeyRights } from '../tenants/rights.ts'
import type { TenantRights } from '../tenants/tenant-settings.ts'

/** All that an exchange needs to know of a presented secret. Instants are epoch milliseconds. */
export interface SecretSnapshot {
  secretId: string
  /** What it was found by: base64, or the name of an imported client. */
  secretDigest: string
  /** Absent: a secret of ours. */
  imported?: ImportedHash
  secretEndsAt: number | null
  secretRevoked: boolean
  keyId: string
  keyExpiresAt: number | null
  keyDisabled: boolean
  keyRevoked: boolean
  keyRights: KeyRights
  tenantId: string
  tenantSuspended: boolean
  tenantRights: TenantRights
  catalogue: Catalogue
}

/** Whether the secret opens nothing, whatever the time is: it or its key was revoked. */
export const isRevoked = ({ keyRevoked, secretRevoked }: SecretSnapshot): boolean =>
  keyRevoked || secretRevoked

/** Finds what is known of a secret by its digests under our peppers (`KeyDigests.names`). */
export interface Directory {
  /** From memory: undefined when the secret is not known, or from too long ago. */
  find(names: readonly string[]): SecretSnapshot | undefined
  /** Whether the secret is known, from however long ago. */
  knows(names: readonly string[]): boolean
  knowsKey(keyId: string): boolean
  /** Of clients that were imported; undefined: there are none. */
  readonly imports: Imports | undefined
  /** As `find`, `knows` and `lookUp`, for an imported client by its own client_id. */
  findClient(clientId: string): SecretSnapshot | undefined
  knowsClient(clientId: string): boolean
  lookUpClient(clientId: string): Promise<SecretSnapshot | undefined>
  /** From Postgres. @throws {Unavailable} when it cannot be told whether the secret is known. */
  lookUp(names: readonly string[]): Promise<SecretSnapshot | undefined>
}
