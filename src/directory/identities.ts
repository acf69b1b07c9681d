import type { Change } from '../database/change.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import { Federation } from '../identity-providers/federation.ts'
import type { FetchedKeys } from '../identity-providers/fetching/fetched-keys.ts'
import type { ProviderKeys } from '../identity-providers/identify.ts'
import type { VerificationKey } from '../identity-providers/verification-key.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { Tombstones } from '../tombstones/tombstones.ts'
import type { SecretSnapshot } from './directory.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import {
  type ClientKey,
  federatedOf,
  type IdentityContents,
  type ParsedIdentities,
  type ParsedKey,
  type ParsedProvider,
  parsedIdentities,
  sharing,
} from './identity-contents.ts'
import { IdentityLookup } from './identity-lookup.ts'
import { existingTenants, readIdentities } from './identity-repository.ts'
import type { KeyStatus } from './key-status.ts'
import { credentialWithTombstones } from './with-tombstones.ts'

/**
 * This replica's copy of the identity providers, and of the keys whose holders prove themselves by an assertion: all of
 * them, in every state, so that an exchange does no I/O. It follows the change feed as the directory does.
 */
export class Identities implements ChangeSubscriber, ProviderKeys {
  readonly kinds = ['identity-provider', 'key', 'tenant'] as const
  readonly #database: Database
  readonly #seals: RowSeals
  readonly #copy: DirectoryCopy
  readonly #tombstones: Pick<Tombstones, 'has' | 'endOf'>
  /** Keys that were not given. */
  readonly fetched: FetchedKeys
  readonly #lookup: IdentityLookup
  #providers = new Map<string, ParsedProvider>()
  #keys = new Map<string, ParsedKey>()
  /** Made at the first use after a change. */
  #federation: Federation | undefined
  /** As `#federation`. */
  #stopped: ReadonlySet<string> | undefined
  /** What was applied since a load began, to be applied to its result as well. */
  #sinceLoad: (() => void)[] | undefined
  /** Since their keys were last followed. */
  #providersChanged = false
  /** Incremented by each change of this copy. */
  #version = 0
  /** Genuine rows exist that this process cannot verify: what is not found may be among them. */
  incomplete = false

  constructor(options: {
    database: Database
    seals: RowSeals
    copy: DirectoryCopy
    fetched: FetchedKeys
    tokenTtlSeconds: number
    tombstones: Pick<Tombstones, 'has' | 'endOf'>
  }) {
    this.#database = options.database
    this.#seals = options.seals
    this.#copy = options.copy
    this.#tombstones = options.tombstones
    this.fetched = options.fetched
    this.fetched.onChange = () => {
      this.#stopped = undefined
    }
    this.#lookup = new IdentityLookup(options)
  }

  get federation(): Federation {
    this.#federation ??= new Federation(
      [...this.#providers.values()].map(({ provider }) => provider),
      [...this.#keys.values()].flatMap(({ key }) => federatedOf(key)),
    )
    return this.#federation
  }

  /** `ProviderKeys`. A provider without a usable key has none. */
  keysOf(providerId: string): readonly VerificationKey[] | undefined {
    const keys = this.#providers.get(providerId)?.keys ?? this.fetched.keysOf(providerId)
    return keys?.length === 0 ? undefined : keys
  }

  isStopped(providerId: string): boolean {
    return this.stopped.has(providerId) || this.#tombstones.has('provider_deleted', providerId)
  }

  noteUnknownKey(providerId: string): void {
    this.fetched.noteUnknownKey(providerId)
  }

  /** Providers that share a key with another one: none of their assertions is accepted. */
  get stopped(): ReadonlySet<string> {
    this.#stopped ??= sharing(this.#providers.values(), this.fetched)
    return this.#stopped
  }

  /** The public keys of a client. */
  clientKeys(keyId: string): readonly ClientKey[] {
    return this.#keys.get(keyId)?.clientKeys ?? []
  }

  /** The status of a key in this copy, however stale; undefined: unknown. */
  keyStatus(keyId: string): KeyStatus | undefined {
    const known = this.#keys.get(keyId)?.key
    return known && this.#copy.statusOf(known.key, known.revoked)
  }

  /** All that an exchange needs of a key, as if the credential were a secret; undefined: not known, or too stale. */
  snapshot(keyId: string, credentialId: string): SecretSnapshot | undefined {
    const known = this.#keys.get(keyId)?.key
    if (!known) return undefined
    const secret = { id: credentialId, digest: '', endsAt: null }
    const snapshot = this.#copy.complete(known.key, secret)
    return credentialWithTombstones(snapshot && { ...snapshot, keyRevoked: known.revoked }, this.#tombstones)
  }

  /** The same from Postgres; undefined: the credential is gone. @throws {Unavailable} */
  async lookUp(keyId: string, credentialId: string): Promise<SecretSnapshot | undefined> {
    const tenantId = this.#keys.get(keyId)?.key.key.tenantId ?? ''
    const found = await this.#lookup.find({ id: credentialId, keyId, tenantId })
    return credentialWithTombstones(found, this.#tombstones)
  }

  /** All that it holds. */
  get contents(): IdentityContents {
    return {
      providers: [...this.#providers.values()].map(({ provider }) => provider),
      keys: [...this.#keys.values()].map(({ key }) => key),
      fetched: this.fetched.kept,
    }
  }

  /** Serves these contents, before the first load. */
  async adopt(contents: IdentityContents): Promise<void> {
    this.#replace(await parsedIdentities(contents), [])
    await this.fetched.adopt(contents.fetched)
  }

  /** Whether one of these providers or credentials is in use here. */
  hasAny(ids: ReadonlySet<string>): boolean {
    const isKnown = ({ key }: ParsedKey) => key.credentials.some(({ id }) => ids.has(id))
    return [...ids].some(id => this.#providers.has(id)) || [...this.#keys.values()].some(isKnown)
  }

  /**
   * Reads all providers, these keys, and those of these credentials from Postgres, because rows were changed past the
   * feed. Without effect when the feed changes this copy meanwhile. @throws {Unavailable}
   */
  async readAgain({
    keyIds,
    credentialIds,
  }: {
    keyIds: Iterable<string>
    credentialIds: ReadonlySet<string>
  }) {
    const version = this.#version
    const owners = [...this.#keys].flatMap(([id, { key }]) =>
      key.credentials.some(each => credentialIds.has(each.id)) ? [id] : [],
    )
    const wanted = { providerIds: undefined, keyIds: [...new Set([...keyIds, ...owners])] }
    const read = await this.#database.readSnapshot(db => readIdentities(db, this.#seals, wanted))
    const parsed = await parsedIdentities(read)
    if (version !== this.#version) return
    for (const id of wanted.keyIds) this.#keys.delete(id)
    this.#providers.clear()
    this.#changed(true)
    this.#put(parsed)
  }

  /** `ChangeSubscriber.load`. */
  async load(): Promise<Apply> {
    const since: (() => void)[] = []
    this.#sinceLoad = since
    const all = { providerIds: undefined, keyIds: undefined }
    const read = await this.#database.readSnapshot(db => readIdentities(db, this.#seals, all))
    const parsed = await parsedIdentities(read)
    return () => {
      this.#replace(parsed, since)
      this.#sinceLoad = undefined
    }
  }

  /** `ChangeSubscriber.read`. */
  async read(trx: Handle, changes: readonly Change[]): Promise<Apply> {
    const ids = (kind: Change['kind']) => changes.flatMap(change => (change.kind === kind ? change.id : []))
    const wanted = { providerIds: ids('identity-provider'), keyIds: ids('key') }
    const parsed = await parsedIdentities(await readIdentities(trx, this.#seals, wanted))
    const existing = await existingTenants(trx, ids('tenant'))
    // The keys of a deleted tenant are deleted with it. A tenant that exists is not kept here.
    const gone = new Set(ids('tenant').filter(id => !existing.has(id)))
    const apply = () => {
      this.forget(changes)
      if (gone.size > 0) this.#dropKeysOf(gone)
      this.#put(parsed)
    }
    return () => {
      apply()
      this.#sinceLoad?.push(apply)
    }
  }

  /** `ChangeSubscriber.forget`. Without its tenant, a key is looked up. */
  forget(changes: readonly Change[]): void {
    for (const { kind, id } of changes) {
      if (kind === 'identity-provider' && this.#providers.delete(id)) this.#changed(true)
      if (kind === 'key' && this.#keys.delete(id)) this.#changed()
    }
  }

  #dropKeysOf(tenants: ReadonlySet<string>): void {
    for (const [id, { key }] of this.#keys)
      if (tenants.has(key.key.tenantId) && this.#keys.delete(id)) this.#changed()
  }

  #replace(parsed: ParsedIdentities, since: readonly (() => void)[]): void {
    this.#providers = new Map()
    this.#keys = new Map()
    this.#changed(true)
    this.#put(parsed)
    for (const apply of since) apply()
    this.#changed()
  }

  #put({ providers, keys }: ParsedIdentities): void {
    for (const each of providers) this.#providers.set(each.provider.id, each)
    for (const each of keys) this.#keys.set(each.key.key.id, each)
    if (providers.length + keys.length > 0) this.#changed(providers.length > 0)
    // Not before: what was fetched for a provider is kept when it is replaced.
    if (!this.#providersChanged) return
    this.#providersChanged = false
    this.fetched.follow([...this.#providers.values()].map(({ provider }) => provider))
  }

  #changed(ofProviders = false): void {
    this.#version++
    this.#providersChanged ||= ofProviders
    this.#federation = undefined
    this.#stopped = undefined
  }
}
