import type { Change } from '../database/change.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import { prepareRule } from '../identity-providers/federated-rule.ts'
import { type FederatedCredential, Federation } from '../identity-providers/federation.ts'
import type { ProviderKeys } from '../identity-providers/identify.ts'
import type { IdentityProvider } from '../identity-providers/identity-provider.ts'
import { parseKeySet, type VerificationKey } from '../identity-providers/verification-key.ts'
import type { RowFault, RowSeals } from '../installation/row-seals.ts'
import type { UntrustedRows } from '../installation/untrusted-rows.ts'
import type { SecretSnapshot } from './directory.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import { readUpdate } from './directory-repository.ts'
import { type IdentityKey, type ReadIdentities, readIdentities } from './identity-repository.ts'
import { snapshotOf } from './known-key.ts'

interface Provider {
  provider: IdentityProvider
  keys: readonly VerificationKey[]
}

/** A public key of a client. */
export interface ClientKey {
  credentialId: string
  keys: readonly VerificationKey[]
}

/**
 * This replica's copy of the identity providers, and of the keys whose holders prove themselves by an assertion: all of
 * them, in every state, so that an exchange does no I/O. It follows the change feed as the directory does.
 */
export class Identities implements ChangeSubscriber, ProviderKeys {
  readonly kinds = ['identity-provider', 'key'] as const
  readonly #database: Database
  readonly #seals: RowSeals
  readonly #untrusted: UntrustedRows
  readonly #copy: DirectoryCopy
  readonly #tokenTtlSeconds: number
  #providers = new Map<string, Provider>()
  #keys = new Map<string, IdentityKey>()
  #clientKeys = new Map<string, ClientKey[]>()
  #faults = { providers: new Map<string, RowFault>(), credentials: new Map<string, RowFault>() }
  /** Made at the first use after a change. */
  #federation: Federation | undefined
  /** Providers of which a key is another provider's as well. */
  #stopped: ReadonlySet<string> = new Set()
  /** What was applied since a load began, to be applied to its result as well. */
  #sinceLoad: (() => void)[] | undefined

  constructor(options: {
    database: Database
    seals: RowSeals
    untrusted: UntrustedRows
    copy: DirectoryCopy
    tokenTtlSeconds: number
  }) {
    this.#database = options.database
    this.#seals = options.seals
    this.#untrusted = options.untrusted
    this.#copy = options.copy
    this.#tokenTtlSeconds = options.tokenTtlSeconds
  }

  get federation(): Federation {
    this.#federation ??= new Federation(
      [...this.#providers.values()].map(({ provider }) => provider),
      [...this.#keys.values()].flatMap(federatedOf),
    )
    return this.#federation
  }

  keysOf(providerId: string): readonly VerificationKey[] | undefined {
    return this.#providers.get(providerId)?.keys
  }

  isStopped(providerId: string): boolean {
    return this.#stopped.has(providerId)
  }

  /** Given keys do not change by themselves. */
  noteUnknownKey(): void {}

  /** Providers that share a key with another one. */
  get stopped(): ReadonlySet<string> {
    return this.#stopped
  }

  /** The public keys of a client. */
  clientKeys(keyId: string): readonly ClientKey[] {
    return this.#clientKeys.get(keyId) ?? []
  }

  /** All that an exchange needs of a key, as if the credential were a secret; undefined: not known, or too stale. */
  snapshot(keyId: string, credentialId: string): SecretSnapshot | undefined {
    const known = this.#keys.get(keyId)
    if (!known) return undefined
    const secret = { id: credentialId, digest: '', endsAt: null }
    const snapshot = this.#copy.complete(known.key, secret)
    return snapshot && { ...snapshot, keyRevoked: known.revoked }
  }

  /**
   * The same from Postgres; undefined: the credential is gone.
   * @throws {Unavailable} when the database does not answer.
   */
  async lookUp(keyId: string, credentialId: string): Promise<SecretSnapshot | undefined> {
    const tenantId = this.#keys.get(keyId)?.key.tenantId ?? ''
    const { read, update } = await this.#database.readSnapshot(async db => ({
      read: await readIdentities(db, this.#seals, { providerIds: [], keyIds: [keyId] }),
      update: await readUpdate(db, this.#seals, [{ kind: 'tenant', id: tenantId }], this.#tokenTtlSeconds),
    }))
    const [known] = read.keys
    const [tenant] = update.tenants
    if (!known?.credentials.some(({ id }) => id === credentialId) || !tenant) return undefined
    const secret = { id: credentialId, digest: '', endsAt: null }
    const snapshot = snapshotOf({ key: known.key, secret, tenant, catalogue: update.catalogue })
    return { ...snapshot, keyRevoked: known.revoked }
  }

  /** `ChangeSubscriber.load`. */
  async load(): Promise<Apply> {
    const since: (() => void)[] = []
    this.#sinceLoad = since
    const all = { providerIds: undefined, keyIds: undefined }
    const put = await this.#prepared(
      await this.#database.readSnapshot(db => readIdentities(db, this.#seals, all)),
    )
    return () => {
      this.#providers = new Map()
      this.#keys = new Map()
      this.#clientKeys = new Map()
      this.#faults = { providers: new Map(), credentials: new Map() }
      put()
      for (const apply of since) apply()
      this.#sinceLoad = undefined
      this.#changed()
    }
  }

  /** `ChangeSubscriber.read`. */
  async read(trx: Handle, changes: readonly Change[]): Promise<Apply> {
    const ids = (kind: Change['kind']) => changes.flatMap(change => (change.kind === kind ? change.id : []))
    const [providerIds, keyIds] = [ids('identity-provider'), ids('key')]
    const put = await this.#prepared(await readIdentities(trx, this.#seals, { providerIds, keyIds }))
    const apply = () => {
      this.forget(changes)
      put()
      this.#changed()
    }
    return () => {
      apply()
      this.#sinceLoad?.push(apply)
    }
  }

  /** `ChangeSubscriber.forget`. */
  forget(changes: readonly Change[]): void {
    let isOurs = false
    for (const { kind, id } of changes) {
      if (kind === 'identity-provider') {
        isOurs = this.#providers.delete(id) || isOurs
        this.#faults.providers.delete(id)
      }
      if (kind === 'key') {
        isOurs = this.#keys.delete(id) || isOurs
        this.#clientKeys.delete(id)
      }
    }
    if (isOurs) this.#federation = undefined
  }

  /** Parses keys, which takes a moment, before anything is changed. */
  async #prepared({ providers, keys, untrusted }: ReadIdentities): Promise<() => void> {
    const known = await Promise.all(
      providers.map(async provider => ({ provider, keys: await parseKeySet(provider.jwks) })),
    )
    const clients = await Promise.all(keys.map(async key => [key.key.id, await clientKeysOf(key)] as const))
    return () => {
      for (const each of known) this.#providers.set(each.provider.id, each)
      for (const each of keys) this.#keys.set(each.key.id, each)
      for (const [id, own] of clients) if (own.length > 0) this.#clientKeys.set(id, own)
      for (const [id, fault] of untrusted.providers) this.#faults.providers.set(id, fault)
      for (const [id, fault] of untrusted.credentials) this.#faults.credentials.set(id, fault)
      if (known.length + keys.length > 0) this.#federation = undefined
    }
  }

  #changed(): void {
    this.#stopped = sharing(this.#providers.values())
    this.#untrusted.note('identity_provider', new Map(this.#faults.providers))
    this.#untrusted.note('key_credential', new Map(this.#faults.credentials))
  }
}

function federatedOf({ key, credentials }: IdentityKey): FederatedCredential[] {
  return credentials.flatMap(({ id, keyId, settings }) =>
    settings.type === 'federated'
      ? [{ id, keyId, tenantId: key.tenantId, providerId: settings.providerId, rule: prepareRule(settings) }]
      : [],
  )
}

async function clientKeysOf({ credentials }: IdentityKey): Promise<ClientKey[]> {
  const own = credentials.flatMap(({ id, settings }) =>
    settings.type === 'public_key' ? [{ id, jwks: settings.jwks }] : [],
  )
  return Promise.all(own.map(async ({ id, jwks }) => ({ credentialId: id, keys: await parseKeySet(jwks) })))
}

/** The holder of the private half of a shared key can sign as either issuer. */
function sharing(providers: Iterable<Provider>): Set<string> {
  const owners = new Map<string, string>()
  const stopped = new Set<string>()
  for (const { provider, keys } of providers)
    for (const { thumbprint } of keys) {
      const owner = owners.get(thumbprint)
      if (owner !== undefined && owner !== provider.id) stopped.add(owner).add(provider.id)
      owners.set(thumbprint, provider.id)
    }
  return stopped
}
