import type { Config } from '../config/config.ts'
import type { ChangeFollower } from '../database/change-follower.ts'
import { DirectoryCopy } from '../directory/directory-copy.ts'
import { KeyStatuses } from '../directory/key-statuses.ts'
import { ReplicaDirectory } from '../directory/replica-directory.ts'
import { SecretLookup } from '../directory/secret-lookup.ts'
import type { Storage, System } from './storage.ts'

export interface DirectoryParts {
  /** The keys in memory. */
  copy: DirectoryCopy
  /** Looks up in Postgres what the copy does not have. */
  fallback: SecretLookup
  /** The keys of tokens that were presented. */
  keyStatuses: KeyStatuses
  /** The copy and the lookups as one. */
  directory: ReplicaDirectory
}

export function buildDirectory(
  config: Config,
  { clock, logger }: System,
  { directoryDatabase: database }: Storage,
  follower: ChangeFollower,
): DirectoryParts {
  const { tokenTtlSeconds, stalenessSeconds, directoryMaxKeys: maxKeys, peppers } = config
  const staleness = () => follower.stalenessSeconds
  const limits = { maxKeys, tokenTtlSeconds, stalenessSeconds }
  const copy = new DirectoryCopy({ database, clock, logger, ...limits, staleness })
  const fallback = new SecretLookup({ database, follower, copy, clock, peppers, tokenTtlSeconds })
  const keyStatuses = new KeyStatuses({ database, copy, clock })
  return { copy, fallback, keyStatuses, directory: new ReplicaDirectory({ copy, fallback }) }
}
