import type { KeyDigests } from '../api-keys/key-digest.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import { ReportReader } from '../telemetry/report-reader.ts'
import { KnownReporters } from '../usage/known-reporters.ts'
import { UsageRecords } from '../usage/usage-records.ts'
import type { Storage, System } from './storage.ts'
import type { TrustParts } from './trust.ts'

export const USAGE_PRUNE_MS = 600_000
/** A year that was reported to an older version is summed within hours. */
export const USAGE_ROLLUP_MS = 20_000

/** What receives and counts usage. */
export interface UsageParts {
  /** Reporters in memory. */
  reporters: KnownReporters
  reader: ReportReader
  records: UsageRecords
}

export function buildUsage(
  { logger }: System,
  { database, usageDatabase = database, time }: Storage,
  digests: KeyDigests,
  policy: CurrentPolicy,
  { tombstones }: TrustParts,
): UsageParts {
  return {
    reporters: new KnownReporters({
      database,
      digests,
      logger,
      isEnded: ({ id, secretId, endsAt }) => {
        const ended = tombstones.endOf('usage_reporter_secret_ended', secretId) ?? Infinity
        return (
          Math.min(ended, endsAt ?? Infinity) <= time.now() || tombstones.has('usage_reporter_deleted', id)
        )
      },
    }),
    reader: new ReportReader(),
    records: new UsageRecords({ database: usageDatabase, policy, now: () => time.now() }),
  }
}
