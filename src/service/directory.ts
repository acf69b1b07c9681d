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
  /** Looks up in Postgres what the copy lacks. */
  fallback: SecretLookup
  /** The status of the keys of presented tokens. */
  keyStatuses: KeyStatuses
  /** The copy and the lookups combined. */
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
