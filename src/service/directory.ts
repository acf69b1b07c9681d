import { KeyDigests } from '../api-keys/key-digest.ts'
import type { Config } from '../config/config.ts'
import type { ChangeFollower } from '../database/change-follower.ts'
import { DirectoryCopy } from '../directory/directory-copy.ts'
import { ImportedCheck } from '../directory/imported-check.ts'
import { Introspectors } from '../directory/introspectors.ts'
import { KeyStatuses } from '../directory/key-statuses.ts'
import { ReplicaDirectory } from '../directory/replica-directory.ts'
import { SecretLookup } from '../directory/secret-lookup.ts'
import { DenyList } from '../token-revocations/deny-list.ts'
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
  /** The tokens that were ended before their expiry. */
  denyList: DenyList
  /** Tokens that may ask about tokens. */
  introspectors: Introspectors
  /** The copy and the lookups combined. */
  directory: ReplicaDirectory
}

export function buildDirectory(
  config: Config,
  { clock, logger }: System,
  { directoryDatabase: database }: Storage,
  follower: ChangeFollower,
  { seals, untrusted }: TrustParts,
  { extension }: SnapshotParts,
): DirectoryParts {
  const { tokenTtlSeconds, stalenessSeconds, directoryMaxKeys: maxKeys, peppers } = config
  const staleness = () => follower.stalenessSeconds
  const isExtended = () => extension?.current !== undefined
  const limits = { maxKeys, tokenTtlSeconds, stalenessSeconds }
  const copy = new DirectoryCopy({ database, clock, logger, seals, ...limits, staleness, isExtended })
  const fallback = new SecretLookup({ database, follower, copy, clock, peppers, seals, tokenTtlSeconds })
  const keyStatuses = new KeyStatuses({ database, copy, clock })
  const importedCheck = new ImportedCheck({ database, copy, seals, untrusted })
  const denyList = new DenyList({ database })
  const introspectors = new Introspectors({ database, digests: new KeyDigests(peppers) })
  const directory = new ReplicaDirectory({ copy, fallback })
  return { copy, fallback, importedCheck, keyStatuses, denyList, introspectors, directory }
}
