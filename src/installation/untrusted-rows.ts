import type { RowFault, SealedKind } from './row-seals.ts'

type Kind = SealedKind['kind']

export interface UntrustedRow {
  kind: Kind
  id: string
  fault: RowFault
}

const byKind = (count: (kind: Kind) => number): Record<Kind, number> => ({
  signing_key: count('signing_key'),
  imported_secret: count('imported_secret'),
  identity_provider: count('identity_provider'),
  key_credential: count('key_credential'),
})

/** Bounds the memory and the log that a flood of forged rows can take. */
const MOST_LISTED = 20
const LONGEST_ID = 64

/**
 * The rows without a valid seal that this process found in the database at its last check. They are not used; a person
 * has to look at them.
 */
export class UntrustedRows {
  readonly #rows = new Map<Kind, ReadonlyMap<string, RowFault>>()
  readonly #found = new Map<Kind, number>()

  /** Replaces the known rows of one kind by these, by id. */
  note(kind: Kind, rows: ReadonlyMap<string, RowFault>): void {
    const before = this.#rows.get(kind)
    const added = [...rows.keys()].filter(id => !before?.has(id)).length
    this.#found.set(kind, (this.#found.get(kind) ?? 0) + added)
    this.#rows.set(kind, rows)
  }

  /** Number of rows by kind, as of the last check. */
  get counts(): Record<Kind, number> {
    const count = (kind: Kind) => this.#rows.get(kind)?.size ?? 0
    return byKind(count)
  }

  /** The same, only of kinds that were checked. */
  get checked(): Record<string, number> {
    return Object.fromEntries([...this.#rows].map(([kind, rows]) => [kind, rows.size]))
  }

  /** Number of rows found since the start, by kind; one that is found again later counts again. */
  get found(): Record<Kind, number> {
    const count = (kind: Kind) => this.#found.get(kind) ?? 0
    return byKind(count)
  }

  /** The first rows of each kind. Ids come from the database and are cut. */
  get listed(): UntrustedRow[] {
    return [...this.#rows].flatMap(([kind, rows]) =>
      [...rows].slice(0, MOST_LISTED).map(([id, fault]) => ({ kind, id: id.slice(0, LONGEST_ID), fault })),
    )
  }
}
