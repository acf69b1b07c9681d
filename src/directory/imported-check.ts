import { clientName } from '../api-keys/imported/imported-client.ts'
import { importedFault, type StoredImportedSecret } from '../api-keys/imported/imported-secret-seal.ts'
import type { Database } from '../database/database.ts'
import type { RowFault, RowSeals } from '../installation/row-seals.ts'
import type { UntrustedRows } from '../installation/untrusted-rows.ts'
import type { ChangedPage } from './changed-row-repository.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import { changedImports } from './imported-check-repository.ts'

/** Bounds how long parsing a page delays exchanges. */
const ROWS_A_PAGE = 250
/** Bounds the memory that a flood of forged rows can take. */
const MOST_KNOWN = 1_000
/** Bounds the time of a check, so that what it finds is reported. The next one continues. */
const PAGES_A_RUN = 100

/**
 * Verifies imported secrets that were written since the last check, also past the change feed. A row that is not genuine
 * is noted, and its key is removed from the directory: the lookup that follows does not accept it either.
 */
export class ImportedCheck {
  readonly #database: Database
  readonly #copy: DirectoryCopy
  readonly #seals: RowSeals
  readonly #untrusted: UntrustedRows
  /** Every transaction before this one was over at the last check, and its rows were verified; null: none was. */
  #verifiedBefore: string | null = null
  /** The rows that are not genuine. They are read at each check, because one may be deleted or repaired. */
  #faults = new Map<string, RowFault>()
  /** A check that one run did not complete: the id of its last row, its start, and the rows found so far. */
  #unfinished: { after: string; verifiedBefore: string; faults: Map<string, RowFault> } | undefined

  constructor(options: {
    database: Database
    copy: DirectoryCopy
    seals: RowSeals
    untrusted: UntrustedRows
  }) {
    this.#database = options.database
    this.#copy = options.copy
    this.#seals = options.seals
    this.#untrusted = options.untrusted
  }

  /** Resolves to the number of rows that turned out not to be genuine since the last check. */
  async run(): Promise<number> {
    const faults = this.#unfinished?.faults ?? new Map<string, RowFault>()
    const known = [...this.#faults.keys()]
    let after: string | null = this.#unfinished?.after ?? ''
    let verifiedBefore: string | null = this.#unfinished?.verifiedBefore ?? null
    for (let pages = 0; after !== null && pages < PAGES_A_RUN; pages++) {
      const from: string = after
      const page: ChangedPage<StoredImportedSecret> = await this.#database.run(db =>
        changedImports(db, { writtenSince: this.#verifiedBefore, known, after: from, limit: ROWS_A_PAGE }),
      )
      // That of the first page: rows written during the later ones are verified again.
      verifiedBefore ??= page.openSince
      const untrusted = new Set<string>()
      for (const secret of page.rows) {
        const fault = importedFault(secret, this.#seals, page.recorded)
        if (!fault) continue
        // Either may have been changed.
        untrusted.add(secret.id).add(clientName(secret.clientId))
        if (faults.size < MOST_KNOWN) faults.set(secret.id, fault)
      }
      this.#copy.removeImported(untrusted)
      after = page.last
    }
    const added = [...faults.keys()].filter(id => !this.#faults.has(id))
    if (after !== null && verifiedBefore !== null) {
      this.#unfinished = { after, verifiedBefore, faults }
      for (const [id, fault] of faults) if (this.#faults.size < MOST_KNOWN) this.#faults.set(id, fault)
    } else {
      this.#unfinished = undefined
      this.#faults = faults
      this.#verifiedBefore = verifiedBefore
    }
    this.#untrusted.note('imported_secret', new Map(this.#faults))
    return added.length
  }
}
