import type { Config } from '../config/config.ts'
import type { ChangeFollower } from '../database/change-follower.ts'
import { DirectoryCopy } from '../directory/directory-copy.ts'
import { FallbackLookup } from '../directory/fallback-lookup.ts'
import { KeyStandings } from '../directory/key-standings.ts'
import { ReplicaDirectory } from '../directory/replica-directory.ts'
import type { Storage, System } from './storage.ts'

export interface DirectoryParts {
  /** The keys in memory. */
  copy: DirectoryCopy
  /** Looks up in Postgres what the copy does not have. */
  fallback: FallbackLookup
  /** The keys of tokens that were presented. */
  standings: KeyStandings
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
  const fallback = new FallbackLookup({ database, follower, copy, clock, peppers, tokenTtlSeconds })
  const standings = new KeyStandings({ database, copy, clock })
  return { copy, fallback, standings, directory: new ReplicaDirectory({ copy, fallback }) }
}
