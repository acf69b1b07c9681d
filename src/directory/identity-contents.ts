import { prepareRule } from '../identity-providers/federated-rule.ts'
import type { FederatedCredential, FederatedProvider } from '../identity-providers/federation.ts'
import type { FetchedKeys, KeptKeySet } from '../identity-providers/fetching/fetched-keys.ts'
import type { FetchedProvider } from '../identity-providers/fetching/key-source.ts'
import type { KeySet } from '../identity-providers/identity-provider.ts'
import type { KeyCredential, SingleUse } from '../identity-providers/key-credential.ts'
import { parseKeySet, UnusableKeys, type VerificationKey } from '../identity-providers/verification-key.ts'
import type { KnownKey } from './known-key.ts'

/** An identity provider, with the keys that were given for it or what is needed to fetch them. */
export type KnownProvider = FederatedProvider & FetchedProvider

type KnownCredential = Pick<KeyCredential, 'id' | 'keyId' | 'settings'>

/** A key with credentials that are not secrets, in whatever state it is. */
export interface IdentityKey {
  key: KnownKey
  revoked: boolean
  credentials: readonly KnownCredential[]
}

/** All identity providers, and all keys with credentials that are not secrets, as values. */
export interface IdentityContents {
  providers: readonly KnownProvider[]
  keys: readonly IdentityKey[]
  /** The last good keys of issuers. */
  fetched: readonly KeptKeySet[]
}

/** A public key of a client. */
export interface ClientKey {
  credentialId: string
  singleUse: SingleUse
  keys: readonly VerificationKey[]
}

/** An entry of the copy with its keys parsed. */
export interface ParsedProvider {
  provider: KnownProvider
  /** Undefined: they are fetched. */
  keys: readonly VerificationKey[] | undefined
}

export interface ParsedKey {
  key: IdentityKey
  /** Its public keys. */
  clientKeys: readonly ClientKey[]
}

export interface ParsedIdentities {
  providers: readonly ParsedProvider[]
  keys: readonly ParsedKey[]
}

/** Parses keys, which takes a moment, before anything is changed. */
export async function parsedIdentities({
  providers,
  keys,
}: Pick<IdentityContents, 'providers' | 'keys'>): Promise<ParsedIdentities> {
  return {
    providers: await Promise.all(
      providers.map(async provider => ({
        provider,
        keys: provider.jwks === null ? undefined : await usableKeys(provider.jwks),
      })),
    ),
    keys: await Promise.all(keys.map(async key => ({ key, clientKeys: await clientKeysOf(key) }))),
  }
}

async function clientKeysOf({ credentials, revoked }: IdentityKey): Promise<ClientKey[]> {
  if (revoked) return []
  const own = credentials.flatMap(({ id, settings }) =>
    settings.type === 'public_key' ? [{ id, ...settings }] : [],
  )
  return Promise.all(
    own.map(async ({ id, jwks, singleUse = 'replica' }) => ({
      credentialId: id,
      singleUse,
      keys: await usableKeys(jwks),
    })),
  )
}

/** A set that an earlier version accepted and this one does not has no keys. It does not stop this replica. */
async function usableKeys(jwks: KeySet): Promise<VerificationKey[]> {
  try {
    return await parseKeySet(jwks)
  } catch (error) {
    if (error instanceof UnusableKeys) return []
    throw error
  }
}

/** The rules of a key, prepared for matching. */
export function federatedOf({ key, credentials }: IdentityKey): FederatedCredential[] {
  return credentials.flatMap(({ id, keyId, settings }) =>
    settings.type === 'federated'
      ? [{ id, keyId, tenantId: key.tenantId, providerId: settings.providerId, rule: prepareRule(settings) }]
      : [],
  )
}

/** Providers of which a key is another provider's as well: the holder of its private key can sign as either issuer. */
export function sharing(providers: Iterable<ParsedProvider>, fetched: FetchedKeys): Set<string> {
  const owners = new Map<string, string>()
  const stopped = new Set<string>()
  for (const { provider, keys } of providers)
    for (const { thumbprint } of keys ?? fetched.keysOf(provider.id) ?? []) {
      const owner = owners.get(thumbprint)
      if (owner !== undefined && owner !== provider.id) stopped.add(owner).add(provider.id)
      owners.set(thumbprint, provider.id)
    }
  return stopped
}
