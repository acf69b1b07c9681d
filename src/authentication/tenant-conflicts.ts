/** How long a conflict is reported after it was last seen. */
const REPORTED_MS = 600_000
/** More are not listed. */
const MOST = 20

export interface TenantConflict {
  credentialIds: readonly string[]
  /** Epoch milliseconds. */
  lastSeenAt: number
}

/** The credentials of different tenants that matched the same assertion: one of the rules is wrong. */
export class TenantConflicts {
  readonly #seen = new Map<string, TenantConflict>()

  /** `now` in epoch milliseconds. */
  note(credentialIds: readonly string[], now: number): void {
    const name = credentialIds.toSorted().join(' ')
    const [oldest] = this.#seen.keys()
    // The most recently seen is the last.
    this.#seen.delete(name)
    if (this.#seen.size >= MOST && oldest !== undefined) this.#seen.delete(oldest)
    this.#seen.set(name, { credentialIds, lastSeenAt: now })
  }

  /** Those of the last ten minutes. */
  recent(now: number): TenantConflict[] {
    return [...this.#seen.values()].filter(({ lastSeenAt }) => now - lastSeenAt < REPORTED_MS)
  }
}
