import { KeyDigests } from '../../src/api-keys/key-digest.ts'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { ChangeFollower } from '../../src/database/change-follower.ts'
import { reaction } from '../../src/database/change-subscriber.ts'
import { Database } from '../../src/database/database.ts'
import { DirectoryCopy } from '../../src/directory/directory-copy.ts'
import { ReplicaDirectory } from '../../src/directory/replica-directory.ts'
import { SecretLookup } from '../../src/directory/secret-lookup.ts'
import { RowSeals } from '../../src/installation/row-seals.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import type { NamedKey } from '../../src/system/secret.ts'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'
import { PATIENT } from '../support/patient.ts'
import type { TestService } from '../support/test-service.ts'

/** A directory on the database of a service, which polls on request of the test. */
export interface Following {
  follower: ChangeFollower
  copy: DirectoryCopy
  fallback: SecretLookup
  directory: ReplicaDirectory
  clock: AdjustableClock
  logs: string[]
  /** The directory's result for a presented key. */
  find(secret: string): ReturnType<ReplicaDirectory['lookUp']>
  /** Its result without a database query. */
  known(secret: string): ReturnType<DirectoryCopy['find']>
  close(): Promise<void>
}

/** `isOutage`: it waits for a silent database as long as in production, not ten times as long. */
export function follow(
  service: TestService,
  options: {
    url?: string
    maxKeys?: number
    stalenessSeconds?: number
    peppers?: readonly NamedKey[]
    isOutage?: boolean
  } = {},
): Following {
  const own = readConfig(new Env(service.environment)).peppers
  const digests = new KeyDigests(own)
  const clock = adjustableClock()
  const logs: string[] = []
  const logger = createLogger('info', { write: line => void logs.push(line) })
  const url = options.url ?? service.database.applicationUrl
  const timeouts = options.isOutage ? undefined : PATIENT
  const database = new Database({ url, maxConnections: 2, logger, timeouts })
  const { encryptionKeys } = readConfig(new Env(service.environment))
  const seals = new RowSeals({ encryptionKeys, peppers: own })
  const common = { seals, database, clock, logger, tokenTtlSeconds: 300 }
  const { maxKeys = 1_000, stalenessSeconds = 900 } = options
  const follower = new ChangeFollower({ database, clock, logger, random: systemRandom })
  const staleness = () => follower.stalenessSeconds
  const copy = new DirectoryCopy({
    ...common,
    maxKeys,
    stalenessSeconds,
    lookupName: hash => digests.lookupName(hash),
    staleness,
    isExtended: () => false,
  })
  const peppers = options.peppers ?? own
  const fallback = new SecretLookup({ ...common, follower, copy, peppers })
  follower.subscribe([copy, reaction(update => fallback.note(update))])
  const directory = new ReplicaDirectory({
    copy,
    fallback,
    tombstones: { has: () => false, endOf: () => undefined },
  })
  return {
    follower,
    copy,
    fallback,
    directory,
    clock,
    logs,
    find: async secret => {
      const presented = digests.names(secret)
      return directory.find(presented) ?? directory.lookUp(presented)
    },
    known: secret => copy.find(digests.names(secret)),
    close: async () => {
      follower.stop()
      fallback.stop()
      await database.close()
    },
  }
}
