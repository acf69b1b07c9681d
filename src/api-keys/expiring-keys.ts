import type { Database } from '../database/database.ts'
import { countExpiring, type ExpiringCounts } from './expiring-keys-repository.ts'

/** The number of keys that expire soon, as of the last query. */
export class ExpiringKeys {
  readonly #database: Database
  /** Undefined until the first query. */
  counts: ExpiringCounts | undefined

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** Queries the counts. @throws {Unavailable}; the counts stay as they were. */
  async look(): Promise<void> {
    this.counts = await this.#database.run(countExpiring)
  }
}
