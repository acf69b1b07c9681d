import type { Change } from '../database/change.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import { DENIED_CLAIMS, type DeniedValue, type IdentifiedToken } from './token-revocation.ts'
import { deniedBy, deniedPage } from './token-revocation-repository.ts'

/** Bounds the time of one query, and how long parsing a page delays requests. */
const ENTRIES_A_PAGE = 2_000

const nameOf = ({ claim, value }: Pick<DeniedValue, 'claim' | 'value'>) => `${claim} ${value}`

/**
 * This replica's copy of the deny list: the tokens that are rejected although their signature is valid and they have not
 * expired. It follows the change feed. An entry leaves it only at its end: a row that disappears from the database, as
 * after a restore, gives no token back here, nor in the snapshots of this replica.
 */
export class DenyList implements ChangeSubscriber {
  readonly kinds = ['key', 'tenant', 'token-revocation'] as const
  readonly #database: Database
  readonly #entries = new Map<string, DeniedValue>()
  /** Keys and tenants whose change this process could not read: their tokens may have been ended. */
  readonly #unread = new Set<string>()
  /** Changes with the entries. */
  revision = 0

  constructor({ database }: { database: Database }) {
    this.#database = database
  }

  /** Number of entries. */
  get size(): number {
    return this.#entries.size
  }

  /** As of this moment. */
  get contents(): DeniedValue[] {
    return [...this.#entries.values()]
  }

  /** Whether the token was ended before its expiry. */
  denies({ jti, key_epoch, tenant_epoch, sub, tenant }: IdentifiedToken): boolean {
    if (this.#entries.size === 0 && this.#unread.size === 0) return false
    return (
      this.#entries.has(`jti ${jti}`) ||
      this.#entries.has(`key_epoch ${key_epoch}`) ||
      this.#entries.has(`tenant_epoch ${tenant_epoch}`) ||
      this.#unread.has(`key ${sub}`) ||
      this.#unread.has(`tenant ${tenant}`)
    )
  }

  /** The entry that ends a token; undefined: there is none, or `denies` is true because a change could not be read. */
  entryOf(token: IdentifiedToken): DeniedValue | undefined {
    const names = DENIED_CLAIMS.map(claim => `${claim} ${token[claim]}`)
    return names.map(name => this.#entries.get(name)).find(entry => entry !== undefined)
  }

  /** Adds entries: of a snapshot, or committed by this process a moment ago. */
  add(entries: readonly DeniedValue[]): void {
    for (const entry of entries) {
      const known = this.#entries.get(nameOf(entry))
      // One that a snapshot of an older version has gets its tenant.
      const isNews = entry.tenantId !== undefined && known?.tenantId === undefined
      if (known && known.endsAt >= entry.endsAt && !isNews) continue
      const endsAt = Math.max(entry.endsAt, known?.endsAt ?? 0)
      this.#entries.set(nameOf(entry), { ...known, ...entry, endsAt })
      if (!known) this.revision++
    }
  }

  /** Removes entries that ended by `now`, in epoch milliseconds: no token has their value any more. */
  removeEnded(now: number): void {
    for (const [name, { endsAt }] of this.#entries) {
      if (endsAt > now) continue
      this.#entries.delete(name)
      this.revision++
    }
  }

  /** `ChangeSubscriber.load`. */
  async load(signal: AbortSignal): Promise<Apply> {
    const entries: DeniedValue[] = []
    for (let after: string | undefined = '0'; after !== undefined; ) {
      if (signal.aborted) throw new Unavailable('The list of revoked tokens was not loaded in time. Retry.')
      const from: string = after
      const page: Awaited<ReturnType<typeof deniedPage>> = await this.#database.run(db =>
        deniedPage(db, from, ENTRIES_A_PAGE),
      )
      entries.push(...page.denied)
      after = page.last
    }
    return () => {
      this.#unread.clear()
      this.add(entries)
    }
  }

  /** `ChangeSubscriber.read`. */
  async read(trx: Handle, changes: readonly Change[]): Promise<Apply> {
    const entries = await deniedBy(trx, changes)
    return () => {
      for (const { kind, id } of changes) this.#unread.delete(`${kind} ${id}`)
      this.add(entries)
    }
  }

  /** `ChangeSubscriber.forget`. */
  forget(changes: readonly Change[]): void {
    for (const { kind, id } of changes) if (kind !== 'token-revocation') this.#unread.add(`${kind} ${id}`)
  }
}
