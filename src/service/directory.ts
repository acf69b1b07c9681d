import type { Config } from '../config/config.ts'
import { ChangeListener } from '../database/change-listener.ts'
import { FallbackLookup } from '../directory/fallback-lookup.ts'
import { Follower } from '../directory/follower.ts'
import { KeyStandings } from '../directory/key-standings.ts'
import { ReplicaDirectory } from '../directory/replica-directory.ts'
import type { Storage, System } from './storage.ts'

export type FollowedDirectory = ReturnType<typeof followDirectory>

/** The keys in memory: who loads and follows them, who asks Postgres for the others, who wakes the follower. */
export function followDirectory(config: Config, system: System, storage: Storage) {
  const { database, directoryDatabase, directUrl } = storage
  const { tokenTtlSeconds, stalenessSeconds, directoryMaxKeys: maxKeys } = config
  const following = { ...system, database: directoryDatabase, tokenTtlSeconds }
  const follower = new Follower({ ...following, maxKeys, stalenessSeconds })
  database.onCommit(changes => follower.settle(changes))
  const fallback = new FallbackLookup({ ...following, follower, peppers: config.peppers })
  const standings = new KeyStandings({ database: directoryDatabase, follower, clock: system.clock })
  database.onCommit(async changes => standings.note(changes))
  return {
    follower,
    fallback,
    standings,
    directory: new ReplicaDirectory({ follower, fallback }),
    listener: new ChangeListener({ ...following, url: directUrl, wake: () => follower.wake() }),
  }
}
