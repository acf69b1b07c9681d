import type { Database } from '../database/database.ts'
import { Invalid } from '../errors.ts'
import type { UsagePlace, UsageQuery, UsageRow } from './usage-report.ts'
import { readUsage } from './usage-report-repository.ts'

/** Reads totals of usage. */
export class UsageReports {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** @throws {Invalid} for a time zone that Postgres does not know @throws {Unavailable} also when the totals are too many to be summed in time. */
  async read(
    query: UsageQuery,
    page: { limit: number; after: UsagePlace | null },
  ): Promise<{ rows: UsageRow[]; next: UsagePlace | null }> {
    const found = await this.#database
      .readSnapshot(trx => readUsage(trx, query, { ...page, limit: page.limit + 1 }))
      .catch(error => {
        throw isUnknownZone(error) ? unknownZone(error) : error
      })
    const rows = found.slice(0, page.limit)
    const last = found.length > page.limit ? rows.at(-1) : undefined
    return {
      rows,
      next: last
        ? [last.start.toISOString(), last.tenant, last.key, last.model, last.reporter, last.label]
        : null,
    }
  }
}

/** Node and Postgres have lists of names of their own. The zone is the only parameter that Postgres can find invalid (22023). */
const isUnknownZone = (error: unknown) => (error as { code?: unknown }).code === '22023'

const unknownZone = (cause: Error) =>
  new Invalid([{ pointer: '/time_zone', message: 'is not a time zone that Postgres knows' }], { cause })
