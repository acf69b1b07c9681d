import type { Database } from '../database/database.ts'
import { credentialFault, providerFault } from '../identity-providers/identity-seals.ts'
import type { RowFault, RowSeals } from '../installation/row-seals.ts'
import type { UntrustedRows } from '../installation/untrusted-rows.ts'
import type { Identities } from './identities.ts'
import { changedIdentities, type IdentityPage } from './identity-check-repository.ts'

/** Bounds the memory of a page: a definition has at most 128 KB. */
const ROWS_A_PAGE = 100
/** Bounds the memory that a flood of forged rows can take. */
const MOST_KNOWN = 1_000
/** Bounds the time of a check, so that what it finds is reported. The next one continues. */
const PAGES_A_RUN = 100

interface Found {
  faults: Map<string, RowFault>
  /** Keys that the rows name. */
  keyIds: Set<string>
}

/**
 * Verifies identity providers and credentials that were written since the last check, also past the change feed. A row
 * that is not genuine is noted, and what it replaced is no longer used.
 */
export class IdentityCheck {
  readonly #database: Database
  readonly #identities: Identities
  readonly #seals: RowSeals
  readonly #untrusted: UntrustedRows
  /** Every transaction before this one was over at the last check, and its rows were verified; null: none was. */
  #verifiedBefore: string | null = null
  /** The rows that are not genuine. They are read at each check, because one may be deleted or repaired. */
  #faults = new Map<string, RowFault>()
  /** A check that one run did not complete: the id of its last row, its start, and the rows found so far. */
  #unfinished: { after: string; verifiedBefore: string; found: Found } | undefined

  constructor(options: {
    database: Database
    identities: Identities
    seals: RowSeals
    untrusted: UntrustedRows
  }) {
    this.#database = options.database
    this.#identities = options.identities
    this.#seals = options.seals
    this.#untrusted = options.untrusted
  }

  /** @throws {Unavailable} */
  async run(): Promise<void> {
    const before = this.#faults
    const found = this.#unfinished?.found ?? { faults: new Map(), keyIds: new Set() }
    const known = [...before.keys()]
    let after: string | null = this.#unfinished?.after ?? ''
    let verifiedBefore: string | null = this.#unfinished?.verifiedBefore ?? null
    for (let pages = 0; after !== null && pages < PAGES_A_RUN; pages++) {
      const from: string = after
      const page: IdentityPage = await this.#database.run(db =>
        changedIdentities(db, { writtenSince: this.#verifiedBefore, known, after: from, limit: ROWS_A_PAGE }),
      )
      // That of the first page: rows written during the later ones are verified again.
      verifiedBefore ??= page.openSince
      this.#verify(page, found)
      after = page.last
    }
    if (after !== null && verifiedBefore !== null) {
      this.#unfinished = { after, verifiedBefore, found }
      this.#faults = new Map([...before, ...found.faults].slice(0, MOST_KNOWN))
    } else {
      this.#unfinished = undefined
      this.#faults = found.faults
      this.#verifiedBefore = verifiedBefore
    }
    await this.#report(before, found.keyIds)
  }

  #verify({ rows, recorded }: IdentityPage, { faults, keyIds }: Found): void {
    for (const row of rows) {
      const fault =
        'key_id' in row
          ? credentialFault(this.#seals, row, recorded)
          : providerFault(this.#seals, row, recorded)
      if (!fault || faults.size >= MOST_KNOWN) continue
      faults.set(row.id, fault)
      if ('key_id' in row) keyIds.add(row.key_id)
    }
  }

  async #report(before: ReadonlyMap<string, RowFault>, keyIds: ReadonlySet<string>): Promise<void> {
    const faults = this.#faults
    const ofKind = (prefix: string) => new Map([...faults].filter(([id]) => id.startsWith(prefix)))
    this.#untrusted.note('identity_provider', ofKind('idp_'))
    this.#untrusted.note('key_credential', ofKind('crd_'))
    this.#identities.incomplete = [...faults.values()].includes('lacking_key')
    const ids = new Set(faults.keys())
    const isNew = [...ids].some(id => !before.has(id))
    if (isNew || this.#identities.hasAny(ids))
      await this.#identities.readAgain({ keyIds, credentialIds: ids })
  }
}
