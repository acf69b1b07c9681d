import { versionOf } from '../database/version.ts'

/** A gateway, or a collector in front of gateways, that reports usage. */
export interface UsageReporter {
  /** `rep_` and 16 characters. */
  id: string
  /** For people, not unique. */
  name: string
  /** It may report requests with a token for one of these only. */
  audiences: readonly string[]
  /** `root`, or the id of the admin token that created it. */
  createdBy: string
  createdAt: Date
  /** Set: its secret is not accepted any more. It stays, because totals name it. */
  deletedAt: Date | null
}

/** A reporter that is not deleted, with the digest of its secret in base64. */
export interface LiveReporter {
  id: string
  audiences: readonly string[]
  digest: string
  pepperId: string
}

export const usageReporterVersion = (reporter: UsageReporter): string => versionOf(reporter)

/** As the target of an audit event. */
export const usageReporterTarget = (id: string) => ({ targetKind: 'usage-reporter', targetId: id })
