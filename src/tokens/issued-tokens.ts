import { LRUCache } from 'lru-cache'
import type { Caller } from '../authentication/authenticator.ts'
import type { AccessToken } from './token-issuer.ts'

/** A token takes about two kilobytes. */
const MOST_KEPT = 20_000

interface IssuedToken {
  token: AccessToken
  /** The caller at the time of issue. */
  issuedFor: Caller
  /** Epoch milliseconds, database time. */
  reusedUntil: number
}

/** Is being signed, for the requests that come meanwhile as well. */
interface Issuing {
  token: Promise<AccessToken>
  issuedFor: Caller
}

/**
 * Tokens issued by the check, by secret, each reused for half its lifetime: a gateway calls for every request, and a
 * signature each time would dominate the cost. Cleared on each change of the directory, so that no token outlives the
 * rights it was issued for. docs/decisions/0010-api-keys-at-the-gateway.md
 */
export class IssuedTokens {
  readonly #isPublished: (kid: string) => boolean
  /** By secret id. Least recently used entries are evicted, so that a busy client's token is not signed again early. */
  readonly #tokens = new LRUCache<string, IssuedToken>({ max: MOST_KEPT })
  readonly #issuing = new Map<string, Issuing>()

  /** `isPublished`: whether this process's JWKS still contains the key; tokens of a revoked one are not reused. */
  constructor(options: { isPublished: (kid: string) => boolean }) {
    this.#isPublished = options.isPublished
  }

  get size(): number {
    return this.#tokens.size
  }

  /**
   * The token of the caller: the kept one, or the one that `issue` makes, once for all requests that come until it is signed. Rejects
   * as `issue` does.
   */
  async of(caller: Caller, issue: () => Promise<AccessToken>): Promise<AccessToken> {
    const kept = this.#find(caller)
    if (kept) return kept
    const { secretId } = caller
    const other = this.#issuing.get(secretId)
    if (other && sameRights(other.issuedFor, caller)) return other.token
    const issuing = { token: issue(), issuedFor: caller }
    this.#issuing.set(secretId, issuing)
    try {
      const token = await issuing.token
      // Not after a change of the directory.
      if (this.#issuing.get(secretId) === issuing) this.#keep(caller, token)
      return token
    } finally {
      if (this.#issuing.get(secretId) === issuing) this.#issuing.delete(secretId)
    }
  }

  #find(caller: Caller): AccessToken | undefined {
    const issued = this.#tokens.get(caller.secretId)
    if (!issued || caller.at >= issued.reusedUntil || !sameRights(issued.issuedFor, caller)) return undefined
    return this.#isPublished(issued.token.kid) ? issued.token : undefined
  }

  #keep(caller: Caller, token: AccessToken): void {
    const reusedUntil = caller.at + (token.expiresIn * 1000) / 2
    this.#tokens.set(caller.secretId, { token, issuedFor: caller, reusedUntil })
  }

  /** Drops all tokens: after a change of the directory, or when a signing key was revoked. */
  clear(): void {
    this.#tokens.clear()
    this.#issuing.clear()
  }
}

/** A caller with other rights, another epoch or another end gets a new token. Rights in the directory are shared objects. */
function sameRights(one: Caller, other: Caller): boolean {
  return (
    one.tenantId === other.tenantId &&
    one.endsAt === other.endsAt &&
    one.keyEpoch === other.keyEpoch &&
    one.tenantEpoch === other.tenantEpoch &&
    (one.rights === other.rights || JSON.stringify(one.rights) === JSON.stringify(other.rights))
  )
}
