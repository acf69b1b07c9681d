import type { Caller } from '../api-keys/authenticator.ts'
import type { AccessToken } from './token-issuer.ts'

/** About two kilobytes each. */
const MOST_KEPT = 20_000

interface Minted {
  token: AccessToken
  /** What it was issued for: a caller with other rights, or another end, gets another token. */
  issuedFor: string
  /** Epoch milliseconds, database time. */
  reusedUntil: number
}

/**
 * Tokens that were minted at the second door, by secret, each reused until half its life is over: a gateway asks for
 * every request, and a signature each time would be most of the cost. Emptied at each change of the directory, so that
 * nothing here outlives what it was made from. docs/decisions/0010-second-door.md
 */
export class MintedTokens {
  readonly #isPublished: (kid: string) => boolean
  /** Oldest first. */
  readonly #tokens = new Map<string, Minted>()

  /** `isPublished`: whether the JWKS of this process still holds the key; a revoked one's tokens are not reused. */
  constructor(options: { isPublished: (kid: string) => boolean }) {
    this.#isPublished = options.isPublished
  }

  get size(): number {
    return this.#tokens.size
  }

  find(caller: Caller): AccessToken | undefined {
    const minted = this.#tokens.get(caller.secretId)
    if (!minted || caller.at >= minted.reusedUntil || minted.issuedFor !== rightsOf(caller)) return undefined
    return this.#isPublished(minted.token.kid) ? minted.token : undefined
  }

  keep(caller: Caller, token: AccessToken): void {
    this.#tokens.delete(caller.secretId)
    const [oldest] = this.#tokens.keys()
    if (oldest !== undefined && this.#tokens.size >= MOST_KEPT) this.#tokens.delete(oldest)
    const reusedUntil = caller.at + (token.expiresIn * 1000) / 2
    this.#tokens.set(caller.secretId, { token, issuedFor: rightsOf(caller), reusedUntil })
  }

  /** Everything goes: after a change of the directory, and when a signing key was revoked. */
  clear(): void {
    this.#tokens.clear()
  }
}

const rightsOf = ({ rights, endsAt, tenantId }: Caller): string => JSON.stringify([tenantId, endsAt, rights])
