import type { Imports } from '../api-keys/imported-client.ts'
import { bcryptCost, type ImportedHash } from '../api-keys/imported-hash.ts'
import { isOver } from '../api-keys/key-state.ts'
import { type Catalogue, effectiveTier, type KeyRights } from '../tenants/rights.ts'
import type { TenantRights } from '../tenants/tenant-settings.ts'
import type { SecretSnapshot } from './directory.ts'
import { type KeyStatus, keyStatusOf } from './key-status.ts'

/** A key with the secrets that still open something. Instants are epoch milliseconds. */
export interface KnownKey {
  id: string
  tenantId: string
  expiresAt: number | null
  disabled: boolean
  rights: KeyRights
  secrets: readonly KnownSecret[]
}

export interface KnownSecret {
  id: string
  /** As the index is asked: base64, or the name of an imported client. */
  digest: string
  endsAt: number | null
  /** Absent: a secret of ours. */
  imported?: ImportedHash
}

export interface KnownTenant {
  id: string
  suspended: boolean
  /** Seconds; null: the policy's; 0: each exchange asks Postgres. */
  stalenessSeconds: number | null
  rights: TenantRights
}

/** What changed, read again. An object that is named and not among `keys` or `tenants` is gone. */
export interface DirectoryUpdate {
  keyIds: readonly string[]
  keys: readonly KnownKey[]
  tenantIds: readonly string[]
  tenants: readonly KnownTenant[]
  catalogue: Catalogue
}

interface Entry {
  key: KnownKey
  secret: KnownSecret
}

/**
 * The directory in memory: from a secret's digest to all that an exchange needs, found without any I/O. Known is every
 * secret that was not revoked, ended or expired when it was read, those of suspended tenants and disabled keys
 * included; what has ended since may stay, because time is compared at each use. What it costs: bench/directory-memory.ts.
 */
export class DirectoryIndex {
  readonly #maxKeys: number
  readonly #secrets = new Map<string, Entry>()
  readonly #keys = new Map<string, KnownKey>()
  readonly #tenants = new Map<string, KnownTenant>()
  /** How many secrets were imported, by the cost of a comparison: null for a hash that costs nothing. */
  readonly #imported = new Map<number | null, number>()
  #catalogue: Catalogue
  /** A key had no room, so some keys are found in Postgres only. */
  overflowed = false

  constructor(options: { catalogue: Catalogue; maxKeys: number }) {
    this.#catalogue = options.catalogue
    this.#maxKeys = options.maxKeys
  }

  get size(): number {
    return this.#keys.size
  }

  get tenants(): number {
    return this.#tenants.size
  }

  /** Whether there is such a secret, whatever has become of its tenant. */
  knows(digest: string): boolean {
    return this.#secrets.has(digest)
  }

  /** Undefined when no client was imported, as far as is known here. */
  get imports(): Imports | undefined {
    if (this.#imported.size === 0) return this.overflowed ? { commonCost: null } : undefined
    const costs = [...this.#imported].filter(([cost]) => cost !== null)
    const [common] = costs.sort(([, one], [, other]) => other - one)
    return { commonCost: common?.[0] ?? null }
  }

  keyIds(): IterableIterator<string> {
    return this.#keys.keys()
  }

  has(keyId: string): boolean {
    return this.#keys.has(keyId)
  }

  /** All that the key and its tenant are set to, as a text to compare with another; undefined: it is not known. */
  settingsOf(keyId: string): string | undefined {
    const key = this.#keys.get(keyId)
    return key && JSON.stringify([key, this.#tenants.get(key.tenantId)])
  }

  hasTenant(id: string): boolean {
    return this.#tenants.has(id)
  }

  keyStatus(keyId: string): KeyStatus | undefined {
    const key = this.#keys.get(keyId)
    const tenant = key && this.#tenants.get(key.tenantId)
    if (!tenant) return undefined
    return keyStatusOf({ revoked: false, disabled: key.disabled, suspended: tenant.suspended })
  }

  /** What is known of the secret, and for how long its tenant lets that stand. */
  find(digest: string): { snapshot: SecretSnapshot; stalenessSeconds: number | null } | undefined {
    const entry = this.#secrets.get(digest)
    const tenant = entry && this.#tenants.get(entry.key.tenantId)
    if (!tenant) return undefined
    const { key, secret } = entry
    // While a long list of changes is applied in pieces, a tenant may still have a tier that is gone already.
    if (!this.#catalogue.priorities.has(effectiveTier(tenant.rights, key.rights))) return undefined
    const snapshot = snapshotOf({ key, secret, tenant, catalogue: this.#catalogue })
    return { snapshot, stalenessSeconds: tenant.stalenessSeconds }
  }

  setCatalogue(catalogue: Catalogue): void {
    this.#catalogue = catalogue
  }

  /** Takes all of it at once, so that no exchange sees a part. */
  apply(update: DirectoryUpdate): void {
    this.#catalogue = update.catalogue
    for (const id of update.keyIds) this.remove(id)
    for (const id of update.tenantIds) this.#tenants.delete(id)
    for (const tenant of update.tenants) this.putTenant(tenant)
    for (const key of update.keys) this.put(key)
    const gone = new Set(update.tenantIds.filter(id => !this.#tenants.has(id)))
    if (gone.size > 0) this.#removeKeysOf(gone)
  }

  /** Sets the key, or leaves it out when there is no room. */
  put(key: KnownKey): void {
    this.remove(key.id)
    if (key.secrets.length === 0) return
    if (this.#keys.size >= this.#maxKeys) {
      this.overflowed = true
      return
    }
    // One text for all keys of a tenant.
    const tenantId = this.#tenants.get(key.tenantId)?.id ?? key.tenantId
    const kept = { ...key, tenantId }
    this.#keys.set(kept.id, kept)
    for (const secret of kept.secrets) {
      this.#secrets.set(secret.digest, { key: kept, secret })
      this.#countImported(secret, 1)
    }
  }

  remove(keyId: string): void {
    const key = this.#keys.get(keyId)
    if (!key) return
    this.#keys.delete(keyId)
    for (const secret of key.secrets) {
      this.#secrets.delete(secret.digest)
      this.#countImported(secret, -1)
    }
  }

  putTenant(tenant: KnownTenant): void {
    this.#tenants.set(tenant.id, tenant)
  }

  /** Its keys are not known any more, and are looked up, until the tenant is put again. */
  removeTenant(id: string): void {
    this.#tenants.delete(id)
  }

  /** A secret is found by another digest from now on. */
  redigest(from: string, to: string): void {
    const entry = this.#secrets.get(from)
    if (!entry) return
    const { key, secret } = entry
    const secrets = key.secrets.map(each => (each === secret ? { ...secret, digest: to } : each))
    this.put({ ...key, secrets })
  }

  /** Makes room: what has ended by `now` (epoch milliseconds) opens nothing again unless it is changed. */
  removeEnded(now: number): void {
    for (const key of this.#keys.values()) {
      if (isOver(key.expiresAt, now) || key.secrets.every(({ endsAt }) => isOver(endsAt, now)))
        this.remove(key.id)
    }
  }

  #countImported({ imported }: KnownSecret, more: 1 | -1): void {
    if (!imported) return
    const cost = bcryptCost(imported)
    const count = (this.#imported.get(cost) ?? 0) + more
    if (count > 0) this.#imported.set(cost, count)
    else this.#imported.delete(cost)
  }

  #removeKeysOf(tenantIds: ReadonlySet<string>): void {
    for (const key of this.#keys.values()) if (tenantIds.has(key.tenantId)) this.remove(key.id)
  }
}

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
    keyId: key.id,
    keyExpiresAt: key.expiresAt,
    keyDisabled: key.disabled,
    keyRevoked: false,
    keyRights: key.rights,
    tenantId: tenant.id,
    tenantSuspended: tenant.suspended,
    tenantRights: tenant.rights,
    catalogue,
  }
}
