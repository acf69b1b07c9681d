import type { Database } from '../database/database.ts'
import { countExpiring, type ExpiringCounts } from './expiring-keys-repository.ts'

/** How many keys will end soon, as of the last time that anybody looked. */
export class ExpiringKeys {
  readonly #database: Database
  /** Undefined until the first look. */
  counts: ExpiringCounts | undefined

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** @throws {Unavailable}; the counts stay as they were. */
  async look(): Promise<void> {
    this.counts = await this.#database.run(countExpiring)
  }
}
