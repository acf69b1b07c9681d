import { versionOf } from '../database/version.ts'

/** A gateway, or a collector between gateways and Mintmark, that reports usage. */
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
  /** `sec_` and 16 characters: its newest secret. */
  secretId: string
  /** When the last of its older secrets ends, or ended; null: it has none. */
  olderSecretEndsAt: Date | null
  /** Set: its secret is not accepted any more. It stays, because totals name it. */
  deletedAt: Date | null
}

/** A reporter that is not deleted, with one of its secrets. */
export interface LiveReporter {
  id: string
  audiences: readonly string[]
  secretId: string
  /** Of the secret, in base64. */
  digest: string
  pepperId: string
  /** Epoch milliseconds; null: it is the newest secret. */
  endsAt: number | null
}

export const usageReporterVersion = (reporter: UsageReporter): string => versionOf(reporter)

/** As the target of an audit event. */
export const usageReporterTarget = (id: string) => ({ targetKind: 'usage-reporter', targetId: id })
