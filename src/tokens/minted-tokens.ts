import { LRUCache } from 'lru-cache'
import type { Caller } from '../authentication/authenticator.ts'
import type { AccessToken } from './token-issuer.ts'

/** About two kilobytes each. */
const MOST_KEPT = 20_000

interface Minted {
  token: AccessToken
  /** Whom it was issued for, when it was. */
  issuedFor: Caller
  /** Epoch milliseconds, database time. */
  reusedUntil: number
}

/**
 * Tokens that were issued by the check, by secret, each reused until half its life is over: a gateway asks for
 * every request, and a signature each time would be most of the cost. Emptied at each change of the directory, so that
 * nothing here outlives what it was made from. docs/decisions/0010-api-keys-at-the-gateway.md
 */
export class MintedTokens {
  readonly #isPublished: (kid: string) => boolean
  /** By secret id. The least recently used make room, so that a busy client's token is never signed again early. */
  readonly #tokens = new LRUCache<string, Minted>({ max: MOST_KEPT })

  /** `isPublished`: whether the JWKS of this process still holds the key; a revoked one's tokens are not reused. */
  constructor(options: { isPublished: (kid: string) => boolean }) {
    this.#isPublished = options.isPublished
  }

  get size(): number {
    return this.#tokens.size
  }

  find(caller: Caller): AccessToken | undefined {
    const minted = this.#tokens.get(caller.secretId)
    if (!minted || caller.at >= minted.reusedUntil || !sameRights(minted.issuedFor, caller)) return undefined
    return this.#isPublished(minted.token.kid) ? minted.token : undefined
  }

  keep(caller: Caller, token: AccessToken): void {
    const reusedUntil = caller.at + (token.expiresIn * 1000) / 2
    this.#tokens.set(caller.secretId, { token, issuedFor: caller, reusedUntil })
  }

  /** Everything goes: after a change of the directory, and when a signing key was revoked. */
  clear(): void {
    this.#tokens.clear()
  }
}

/** A caller with other rights, or another end, gets another token. Rights from the directory are the same object. */
function sameRights(one: Caller, other: Caller): boolean {
  return (
    one.tenantId === other.tenantId &&
    one.endsAt === other.endsAt &&
    (one.rights === other.rights || JSON.stringify(one.rights) === JSON.stringify(other.rights))
  )
}
