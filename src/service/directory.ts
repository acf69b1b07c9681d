import { KeyDigests } from '../api-keys/key-digest.ts'
import type { Config } from '../config/config.ts'
import type { ChangeFollower } from '../database/change-follower.ts'
import { DirectoryCopy } from '../directory/directory-copy.ts'
import { Identities } from '../directory/identities.ts'
import { IdentityCheck } from '../directory/identity-check.ts'
import { ImportedCheck } from '../directory/imported-check.ts'
import { Introspectors } from '../directory/introspectors.ts'
import { KeyStatuses } from '../directory/key-statuses.ts'
import { ReplicaDirectory } from '../directory/replica-directory.ts'
import { SecretLookup } from '../directory/secret-lookup.ts'
import type { FetchedKeys } from '../identity-providers/fetching/fetched-keys.ts'
import { DenyList } from '../token-revocations/deny-list.ts'
import { GatewayConnections } from '../token-revocations/gateway-connections.ts'
import type { SnapshotParts } from './snapshots.ts'
import type { Storage, System } from './storage.ts'
import type { TrustParts } from './trust.ts'

export interface DirectoryParts {
  /** The keys in memory. */
  copy: DirectoryCopy
  /** Looks up in Postgres what the copy lacks. */
  fallback: SecretLookup
  /** Verifies imported secrets that were written past the change feed. */
  importedCheck: ImportedCheck
  /** The status of the keys of presented tokens. */
  keyStatuses: KeyStatuses
  /** Identity providers, and keys whose holders prove themselves by an assertion. */
  identities: Identities
  /** Verifies them, also when they are written past the change feed. */
  identityCheck: IdentityCheck
  /** The tokens that were ended before their expiry. */
  denyList: DenyList
  /** The gateways that keep this list, connected to this process. */
  connections: GatewayConnections
  /** Tokens that may ask about tokens. */
  introspectors: Introspectors
  /** The copy and the lookups combined. */
  directory: ReplicaDirectory
}

export function buildDirectory(
  config: Config,
  { clock, logger }: System,
  { directoryDatabase: database, time }: Storage,
  follower: ChangeFollower,
  { seals, untrusted, tombstones }: TrustParts,
  { extension }: SnapshotParts,
  fetched: FetchedKeys,
): DirectoryParts {
  const { tokenTtlSeconds, stalenessSeconds, directoryMaxKeys: maxKeys, peppers } = config
  const staleness = () => follower.stalenessSeconds
  const isExtended = () => extension?.current !== undefined
  const digests = new KeyDigests(peppers)
  const lookupName = (sha256: string) => digests.lookupName(sha256)
  const limits = { maxKeys, tokenTtlSeconds, stalenessSeconds, lookupName }
  const copy = new DirectoryCopy({ database, clock, logger, seals, ...limits, staleness, isExtended })
  const fallback = new SecretLookup({ database, follower, copy, clock, peppers, seals, tokenTtlSeconds })
  const importedCheck = new ImportedCheck({ database, copy, seals, untrusted })
  const identities = new Identities({ database, seals, copy, fetched, tokenTtlSeconds, tombstones })
  const keyStatuses = new KeyStatuses({ database, copy, identities, clock, tombstones })
  const identityCheck = new IdentityCheck({ database, identities, seals, untrusted })
  const denyList = new DenyList({ database })
  const registered = (config.xds?.tokens ?? []).flatMap(({ gateway }) => gateway ?? [])
  const connections = new GatewayConnections({ registered, now: () => time.now() })
  const introspectors = new Introspectors({
    database,
    digests,
    isRevoked: id => tombstones.has('admin_token_revoked', id),
  })
  const directory = new ReplicaDirectory({ copy, fallback, tombstones })
  return {
    copy,
    fallback,
    importedCheck,
    keyStatuses,
    identities,
    identityCheck,
    denyList,
    connections,
    introspectors,
    directory,
  }
}
