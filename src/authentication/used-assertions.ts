import { createHash } from 'node:crypto'
import { Busy } from '../errors.ts'

/** By a digest, because a client chooses the length of its `jti`. */
export const digestOf = (keyId: string, jti: string): Buffer =>
  createHash('sha256').update(`${keyId} ${jti}`).digest()

const MOST = 200_000
/** So that the clients of one tenant cannot take the room of all others. */
const MOST_OF_A_TENANT = 50_000

/** Whose assertion it is. */
interface Client {
  keyId: string
  tenantId: string
}

/** The ids of client assertions that were used on this replica and have not expired: each is accepted once. */
export class UsedAssertions {
  /** By tenant: when each expires, in epoch milliseconds, by its digest. */
  readonly #expiry = new Map<string, Map<string, number>>()
  #size = 0
  #prunedAt = 0

  get size(): number {
    return this.#size
  }

  /**
   * False: it was used before. Instants in epoch milliseconds.
   * @throws {Busy} when too many are remembered to remember one more: it must not be forgotten before it expires.
   */
  use(client: Client, jti: string, expiresAt: number, now: number): boolean {
    if (this.has(client, jti, now)) return false
    if (!this.note(client, jti, expiresAt, now))
      throw new Busy('Too many client assertions are in use. Retry.')
    return true
  }

  /** Whether it is remembered as used. `now` in epoch milliseconds. */
  has({ keyId, tenantId }: Client, jti: string, now: number): boolean {
    const until = this.#expiry.get(tenantId)?.get(digestOf(keyId, jti).toString('base64url'))
    return until !== undefined && until > now
  }

  /** Remembers one that was used. False: too many are remembered. Instants in epoch milliseconds. */
  note({ keyId, tenantId }: Client, jti: string, expiresAt: number, now: number): boolean {
    const digest = digestOf(keyId, jti).toString('base64url')
    if (this.#isFull(tenantId) && this.#prunedAt < now - 1_000) this.#prune(now)
    if (this.#isFull(tenantId)) return false
    const own = this.#expiry.get(tenantId) ?? new Map<string, number>()
    this.#expiry.set(tenantId, own)
    if (!own.has(digest)) this.#size++
    own.set(digest, expiresAt)
    return true
  }

  #isFull(tenantId: string): boolean {
    return this.#size >= MOST || (this.#expiry.get(tenantId)?.size ?? 0) >= MOST_OF_A_TENANT
  }

  #prune(now: number): void {
    this.#prunedAt = now
    for (const [tenantId, own] of this.#expiry) {
      for (const [digest, until] of own) if (until <= now && own.delete(digest)) this.#size--
      if (own.size === 0) this.#expiry.delete(tenantId)
    }
  }
}
