import type { KeyDigests } from '../api-keys/key-digest.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import { KnownReporters } from '../usage/known-reporters.ts'
import { UsageRecords } from '../usage/usage-records.ts'
import type { Storage, System } from './storage.ts'

/** What receives and counts usage. */
export interface UsageParts {
  /** Reporters in memory. */
  reporters: KnownReporters
  records: UsageRecords
}

export function buildUsage(
  { logger }: System,
  { database, usageDatabase = database, time }: Storage,
  digests: KeyDigests,
  policy: CurrentPolicy,
): UsageParts {
  return {
    reporters: new KnownReporters({ database, digests, logger }),
    records: new UsageRecords({ database: usageDatabase, policy, now: () => time.now() }),
  }
}
