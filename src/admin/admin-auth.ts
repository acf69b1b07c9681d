import { createHash, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { AdminTokenCheck, AdminTokens } from '../admin-tokens/admin-tokens.ts'
import { RequestError } from '../http/request-error.ts'
import type { FailureLimit } from '../system/failure-limit.ts'
import type { Secret } from '../system/secret.ts'
import { Unauthenticated } from './problem.ts'
import type { Role } from './rights-table.ts'

/** An authenticated administrator. */
export interface Admin {
  /** `root`, or an admin token's id. */
  id: string
  role: Role
  /** The tenant of a tenant-admin; null: not bound. */
  tenantId: string | null
  /** When the credential expires; null: never. */
  expiresAt: Date | null
}

const MOST_KNOWN = 10_000

export const ROOT: Admin = { id: 'root', role: 'root', tenantId: null, expiresAt: null }

/**
 * Authenticates an `Authorization: Bearer …` header: the root token, compared in memory (disabled when not set), or an
 * admin token, looked up in Postgres each time. Failures are limited by source address; a token that was valid before
 * on this replica is always looked up, so that failures of others at its address do not lock it out.
 */
export class AdminAuth {
  readonly #rootDigests: readonly Buffer[]
  readonly #tokens: AdminTokens
  readonly #failures: FailureLimit
  /** Digests of valid tokens. Least recently presented ones are evicted. */
  readonly #known = new LRUCache<string, true>({ max: MOST_KNOWN })

  constructor(options: { rootTokens: readonly Secret[]; tokens: AdminTokens; failures: FailureLimit }) {
    this.#rootDigests = options.rootTokens.map(token => sha256(token.reveal()))
    this.#tokens = options.tokens
    this.#failures = options.failures
  }

  /**
   * `source` is the caller's address.
   * @throws {Unauthenticated} the same for unknown, expired and revoked tokens.
   * @throws {RequestError} 429 after too many failures. @throws {Unavailable}
   */
  async authenticate(authorization: string | undefined, source: string | undefined): Promise<Admin> {
    const [, presented] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? []
    if (presented === undefined) {
      throw new Unauthenticated(
        'Missing token. Send a root token or an admin token as "Authorization: Bearer <token>".',
        'absent',
      )
    }
    const digest = sha256(presented)
    if (this.#isRoot(digest)) return ROOT
    const checked = await this.#check(presented, digest.toString('base64'), source)
    if (!checked.ok)
      throw new Unauthenticated(
        'Invalid token. It may be expired or revoked: create a new one.',
        checked.reason,
        checked.tokenId,
      )
    const { id, role, tenantId, expiresAt } = checked.token
    return { id, role, tenantId, expiresAt }
  }

  async #check(presented: string, digest: string, source: string | undefined): Promise<AdminTokenCheck> {
    if (this.#known.get(digest)) {
      const checked = await this.#tokens.authenticate(presented)
      if (!checked.ok) this.#known.delete(digest)
      return checked
    }
    const allowance = await this.#failures.take(source)
    if (!allowance.granted) {
      const headers = { 'Retry-After': String(allowance.retryAfterSeconds) }
      throw new RequestError(
        429,
        'Too many failed authentications from this address. Retry after the time in Retry-After.',
        headers,
      )
    }
    // Given back to a valid token only: who is answered 503 costs a query too, and a flood can cause that.
    const checked = await this.#tokens.authenticate(presented)
    if (checked.ok) {
      this.#known.set(digest, true)
      allowance.giveBack()
    }
    return checked
  }

  /** Compares digests, so that the time does not depend on the length; every token is compared. */
  #isRoot(digest: Buffer): boolean {
    return this.#rootDigests.filter(own => timingSafeEqual(own, digest)).length > 0
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest()
