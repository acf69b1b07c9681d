import type { Database } from '../database/database.ts'
import { readUsage } from './usage-report-repository.ts'

/** At most one of `hour`, `day` and `month`. */
export const USAGE_GROUPS = ['tenant', 'key', 'model', 'reporter', 'hour', 'day', 'month'] as const
export type UsageGroup = (typeof USAGE_GROUPS)[number]

export interface UsageQuery {
  groups: ReadonlySet<UsageGroup>
  /** Hours that begin from `from` on and before `to`. */
  from: Date
  to: Date
  /** IANA name: where days and months begin. */
  timeZone: string
  /** Any of these; undefined: all. */
  tenant?: readonly string[] | undefined
  key?: readonly string[] | undefined
  model?: readonly string[] | undefined
  reporter?: readonly string[] | undefined
  /** A label that the tenant or the key had. Without a value: any. */
  label?: { name: string; value?: string } | undefined
}

/** Names are '' where they are not grouped, or not known. */
export interface UsageRow {
  start: Date
  tenant: string
  key: string
  model: string
  reporter: string
  requests: number
  refusedRequests: number
  estimatedRequests: number
  /** Part of the others: corrections of closed months. */
  adjustedRequests: number
  inputTokens: number
  cachedInputTokens: number
  outputTokens: number
}

/** Where the next page begins: the names of the last row. */
export type UsagePlace = readonly [start: string, tenant: string, key: string, model: string, reporter: string]

/** Reads totals of usage. */
export class UsageReports {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** @throws {Unavailable} also when the totals are too many to be summed in time. */
  async read(
    query: UsageQuery,
    page: { limit: number; after: UsagePlace | null },
  ): Promise<{ rows: UsageRow[]; next: UsagePlace | null }> {
    const found = await this.#database.run(db => readUsage(db, query, { ...page, limit: page.limit + 1 }))
    const rows = found.slice(0, page.limit)
    const last = found.length > page.limit ? rows.at(-1) : undefined
    return { rows, next: last ? [last.start.toISOString(), last.tenant, last.key, last.model, last.reporter] : null }
  }
}
