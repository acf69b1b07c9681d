import type { Database } from '../database/database.ts'
import { credentialFault, providerFault } from '../identity-providers/identity-seals.ts'
import type { RowFault, RowSeals } from '../installation/row-seals.ts'
import type { UntrustedRows } from '../installation/untrusted-rows.ts'
import type { Identities } from './identities.ts'
import { changedIdentities } from './identity-check-repository.ts'

type Page = Awaited<ReturnType<typeof changedIdentities>>

/** Bounds the memory of a page: a definition has at most 128 KB. */
const ROWS_A_PAGE = 100
/** Of each kind. Bounds the memory that a flood of forged rows can take. */
const MOST_KNOWN = 1_000
/** Bounds the time of a check, so that what it finds is reported. The next one continues. */
const PAGES_A_RUN = 100

interface Found {
  providers: Map<string, RowFault>
  credentials: Map<string, RowFault>
  /** Keys that the credentials name. */
  keyIds: Set<string>
}

const nothingFound = (): Found => ({ providers: new Map(), credentials: new Map(), keyIds: new Set() })

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
  #found = nothingFound()
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
    const before = idsOf(this.#found)
    const found = this.#unfinished?.found ?? nothingFound()
    const known = [...before]
    let after: string | null = this.#unfinished?.after ?? ''
    let verifiedBefore: string | null = this.#unfinished?.verifiedBefore ?? null
    for (let pages = 0; after !== null && pages < PAGES_A_RUN; pages++) {
      const from: string = after
      const page: Page = await this.#database.run(db =>
        changedIdentities(db, { writtenSince: this.#verifiedBefore, known, after: from, limit: ROWS_A_PAGE }),
      )
      // That of the first page: rows written during the later ones are verified again.
      verifiedBefore ??= page.openSince
      this.#verify(page, found)
      after = page.last
    }
    if (after !== null && verifiedBefore !== null) {
      this.#unfinished = { after, verifiedBefore, found }
      this.#found = {
        providers: merged(this.#found.providers, found.providers),
        credentials: merged(this.#found.credentials, found.credentials),
        keyIds: found.keyIds,
      }
    } else {
      this.#unfinished = undefined
      this.#found = found
      this.#verifiedBefore = verifiedBefore
    }
    await this.#report(before)
  }

  #verify({ rows, recorded }: Page, { providers, credentials, keyIds }: Found): void {
    for (const row of rows) {
      const isCredential = 'key_id' in row
      const faults = isCredential ? credentials : providers
      const fault = isCredential
        ? credentialFault(this.#seals, row, recorded)
        : providerFault(this.#seals, row, recorded)
      if (!fault || faults.size >= MOST_KNOWN) continue
      faults.set(row.id, fault)
      if (isCredential) keyIds.add(row.key_id)
    }
  }

  async #report(before: ReadonlySet<string>): Promise<void> {
    const { providers, credentials, keyIds } = this.#found
    this.#untrusted.note('identity_provider', new Map(providers))
    this.#untrusted.note('key_credential', new Map(credentials))
    this.#identities.incomplete = [...providers.values(), ...credentials.values()].includes('lacking_key')
    const ids = idsOf(this.#found)
    const isNew = [...ids].some(id => !before.has(id))
    if (isNew || this.#identities.hasAny(ids))
      await this.#identities.readAgain({ keyIds, credentialIds: ids })
  }
}

const idsOf = ({ providers, credentials }: Found): Set<string> =>
  new Set([...providers.keys(), ...credentials.keys()])

const merged = (known: Map<string, RowFault>, found: Map<string, RowFault>) =>
  new Map([...known, ...found].slice(0, MOST_KNOWN))
