import type { Imports } from '../api-keys/imported/imported-client.ts'
import { bcryptCost } from '../api-keys/imported/imported-hash.ts'
import type { SecretProof } from '../api-keys/imported/secret-proof.ts'
import { isOver } from '../api-keys/key-state.ts'
import type { Change } from '../database/change.ts'
import type { ModelFacts } from '../tenants/model.ts'
import { type Catalogue, effectiveTier } from '../tenants/rights.ts'
import type { SecretSnapshot } from './directory.ts'
import { type KeyStatus, keyStatusOf } from './key-status.ts'
import {
  type KnownContents,
  type KnownKey,
  type KnownSecret,
  type KnownTenant,
  snapshotOf,
} from './known-key.ts'
import { hasLookup, type LookupName, LookupNames } from './lookup-names.ts'

/** Changed objects as read again. A changed object that is missing in `keys` and `tenants` was deleted. */
export interface DirectoryUpdate {
  keyIds: readonly string[]
  keys: readonly KnownKey[]
  tenantIds: readonly string[]
  tenants: readonly KnownTenant[]
  catalogue: Catalogue
  /** Undefined: no model changed. */
  modelFacts?: ReadonlyMap<string, ModelFacts>
}

type Entry = { key: KnownKey; secret: KnownSecret }

/**
 * From a secret's digest to all that an exchange needs, without I/O: every secret that was not revoked, ended or expired when it was read, also of
 * suspended tenants and disabled keys. Ended ones may remain, because time is compared at each use. Memory use: bench/directory-memory.ts.
 */
export class DirectoryIndex {
  readonly #maxKeys: number
  readonly #secrets = new Map<string, Entry>()
  readonly #keys = new Map<string, KnownKey>()
  readonly #tenants = new Map<string, KnownTenant>()
  /** Number of imported secrets by the cost of a comparison: null for a fast hash. */
  readonly #imported = new Map<number | null, number>()
  readonly lookups: LookupNames
  #catalogue: Catalogue
  /** Keys of which an imported secret was left out. Whether its client exists is found in Postgres only. */
  readonly #incomplete = new Set<string>()
  /** By name; nothing is known of others. */
  modelFacts: ReadonlyMap<string, ModelFacts> = new Map()
  /** A key did not fit, so some keys are found in Postgres only. */
  overflowed = false

  constructor(options: { catalogue: Catalogue; maxKeys: number; lookupName: LookupName }) {
    this.#catalogue = options.catalogue
    this.lookups = new LookupNames(options.lookupName)
    this.#maxKeys = options.maxKeys
  }

  /** As of this moment: later changes do not affect it. */
  get contents(): KnownContents {
    const { priorities, tierLimits, models } = this.#catalogue
    return {
      priorities: [...priorities],
      tierLimits: [...tierLimits],
      models,
      modelFacts: [...this.modelFacts],
      overflowed: this.overflowed,
      incomplete: [...this.#incomplete],
      tenants: [...this.#tenants.values()],
      keys: [...this.#keys.values()],
    }
  }

  get size(): number {
    return this.#keys.size
  }

  get tenants(): number {
    return this.#tenants.size
  }

  /** Whether the index has the secret, whatever the state of its tenant. */
  knows(digest: string): boolean {
    return this.#secrets.has(digest)
  }

  /** Undefined when the index has no imported client. */
  get imports(): Imports | undefined {
    if (this.#imported.size === 0)
      return this.overflowed || this.#incomplete.size > 0 ? { highestCost: null } : undefined
    const costs = [...this.#imported.keys()].filter(cost => cost !== null)
    return { highestCost: costs.length === 0 ? null : Math.max(...costs) }
  }

  keyIds(): IterableIterator<string> {
    return this.#keys.keys()
  }

  has(keyId: string): boolean {
    return this.#keys.has(keyId)
  }

  /** All settings of the key and its tenant as a text to compare; undefined: the key is unknown. */
  settingsOf(keyId: string): string | undefined {
    const key = this.#keys.get(keyId)
    // A proof is no setting, and changes without the feed.
    const settings = (name: string, value: unknown) => (name === 'proof' ? undefined : value)
    return key && JSON.stringify([key, this.#tenants.get(key.tenantId)], settings)
  }

  hasTenant(id: string): boolean {
    return this.#tenants.has(id)
  }

  keyStatus(keyId: string): KeyStatus | undefined {
    const key = this.#keys.get(keyId)
    return key && this.statusOf(key, false)
  }

  /** The same of a key that is kept elsewhere; undefined: its tenant is unknown. */
  statusOf({ tenantId, disabled }: KnownKey, revoked: boolean): KeyStatus | undefined {
    const tenant = this.#tenants.get(tenantId)
    return tenant && keyStatusOf({ revoked, disabled, suspended: tenant.suspended })
  }

  /** The secret, and how stale its tenant allows it to be. */
  find(digest: string): { snapshot: SecretSnapshot; stalenessSeconds: number | null } | undefined {
    const entry = this.#secrets.get(digest)
    return entry && this.complete(entry.key, entry.secret)
  }

  /** The same of a key that is kept elsewhere. */
  complete(key: KnownKey, secret: KnownSecret): ReturnType<DirectoryIndex['find']> {
    const tenant = this.#tenants.get(key.tenantId)
    if (!tenant) return undefined
    // While many changes are applied in chunks, a tenant may still have a deleted tier.
    if (!this.#catalogue.priorities.has(effectiveTier(tenant.rights, key.rights))) return undefined
    const snapshot = snapshotOf({ key, secret, tenant, catalogue: this.#catalogue })
    return { snapshot, stalenessSeconds: tenant.stalenessSeconds }
  }

  setCatalogue(catalogue: Catalogue): void {
    this.#catalogue = catalogue
  }

  /** Applies the whole update synchronously, so that no exchange sees a part of it. */
  apply(update: DirectoryUpdate): void {
    this.#catalogue = update.catalogue
    if (update.modelFacts) this.modelFacts = update.modelFacts
    for (const id of update.keyIds) this.remove(id)
    for (const id of update.tenantIds) this.#tenants.delete(id)
    for (const tenant of update.tenants) this.putTenant(tenant)
    for (const key of update.keys) this.put(key)
    const gone = new Set(update.tenantIds.filter(id => !this.#tenants.has(id)))
    if (gone.size > 0)
      for (const { id, tenantId } of this.#keys.values()) if (gone.has(tenantId)) this.remove(id)
  }

  /** Adds or replaces the key; drops it when the index is full, unless its secret is found nowhere else. */
  put(key: KnownKey): void {
    this.remove(key.id)
    if (key.incomplete) this.leaveOut(key.id)
    this.lookups.put(key)
    if (key.secrets.length === 0) return
    if (this.#keys.size >= this.#maxKeys && !hasLookup(key)) {
      this.overflowed = true
      return
    }
    // All keys of a tenant share one string.
    const tenantId = this.#tenants.get(key.tenantId)?.id ?? key.tenantId
    const kept = { ...key, tenantId }
    this.#keys.set(kept.id, kept)
    for (const secret of kept.secrets) {
      this.#secrets.set(secret.digest, { key: kept, secret })
      this.#countImported(secret, 1)
    }
  }

  remove(keyId: string): void {
    this.#incomplete.delete(keyId)
    const key = this.#keys.get(keyId)
    this.lookups.remove(keyId, key)
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

  /** Removes a key or tenant that may have changed: the key, and keys of the tenant, are looked up until it is put again. */
  forget({ kind, id }: Change): void {
    if (kind === 'tenant') this.#tenants.delete(id)
    const key = kind === 'key' ? this.#keys.get(id) : undefined
    if (key) this.remove(id)
    if (key) this.lookups.keep(key)
  }

  /** Replaces the digest of a secret. */
  redigest(from: string, to: string): void {
    this.#change(from, secret => ({ ...secret, digest: to }))
  }

  /** Adds the proof of an imported secret, by its name, unless its hash is another by now. */
  prove(name: string, hash: string, proof: SecretProof): void {
    this.#change(name, secret => (secret.imported?.hash === hash ? { ...secret, proof } : secret))
  }

  #change(digest: string, changed: (secret: KnownSecret) => KnownSecret): void {
    const entry = this.#secrets.get(digest)
    if (!entry) return
    const { key, secret } = entry
    this.put({ ...key, secrets: key.secrets.map(each => (each === secret ? changed(secret) : each)) })
  }

  /** Removes what ended by `now` (epoch milliseconds): only a change can make it usable again. */
  removeEnded(now: number): void {
    for (const key of this.#keys.values()) {
      if (isOver(key.expiresAt, now) || key.secrets.every(({ endsAt }) => isOver(endsAt, now)))
        this.remove(key.id)
    }
  }

  /** Removes the keys of imported secrets with these ids or names. */
  removeImported(idsAndNames: ReadonlySet<string>): void {
    if (this.#imported.size === 0) return
    for (const { key, secret } of this.#secrets.values()) {
      if (!secret.imported || !(idsAndNames.has(secret.id) || idsAndNames.has(secret.digest))) continue
      this.remove(key.id)
      this.leaveOut(key.id)
    }
  }

  /** An imported secret of the key is unknown here: whether its client exists is found in Postgres only. */
  leaveOut(keyId: string): void {
    if (this.#incomplete.size < this.#maxKeys) this.#incomplete.add(keyId)
    else this.overflowed = true
  }

  #countImported({ imported }: KnownSecret, more: 1 | -1): void {
    if (!imported) return
    const cost = bcryptCost(imported)
    const count = (this.#imported.get(cost) ?? 0) + more
    if (count > 0) this.#imported.set(cost, count)
    else this.#imported.delete(cost)
  }
}
