import { Busy } from '../errors.ts'

const MOST = 100_000

/** The ids of client assertions that were used on this replica and have not expired: each is accepted once. */
export class UsedAssertions {
  readonly #expiry = new Map<string, number>()
  #prunedAt = 0

  get size(): number {
    return this.#expiry.size
  }

  /**
   * False: it was used before. Instants in epoch milliseconds.
   * @throws {Busy} when too many are remembered to remember one more: it must not be forgotten before it expires.
   */
  use(keyId: string, jti: string, expiresAt: number, now: number): boolean {
    if (this.#expiry.size >= MOST && this.#prunedAt < now - 1_000) this.#prune(now)
    const name = `${keyId} ${jti}`
    const until = this.#expiry.get(name)
    if (until !== undefined && until > now) return false
    if (this.#expiry.size >= MOST) throw new Busy('Too many client assertions are in use. Retry.')
    this.#expiry.set(name, expiresAt)
    return true
  }

  #prune(now: number): void {
    this.#prunedAt = now
    for (const [name, until] of this.#expiry) if (until <= now) this.#expiry.delete(name)
  }
}
