import type { Database } from '../database/database.ts'
import type { UsagePlace, UsageQuery, UsageRow } from './usage-report.ts'
import { readUsage } from './usage-report-repository.ts'

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
    const found = await this.#database.readSnapshot(trx =>
      readUsage(trx, query, { ...page, limit: page.limit + 1 }),
    )
    const rows = found.slice(0, page.limit)
    const last = found.length > page.limit ? rows.at(-1) : undefined
    return {
      rows,
      next: last ? [last.start.toISOString(), last.tenant, last.key, last.model, last.reporter] : null,
    }
  }
}
