import { createHash, timingSafeEqual } from 'node:crypto'
import type { AdminTokens } from '../admin-tokens/admin-tokens.ts'
import type { Secret } from '../system/secret.ts'
import { Unauthenticated } from './problem.ts'
import type { Role } from './rights-table.ts'

/** Who is at the admin API. */
export interface Admin {
  /** `root`, or an admin token's id. */
  id: string
  role: Role
  /** The one tenant of a tenant-admin; null: bound to none. */
  tenantId: string | null
  /** When the credential ends; null: never. */
  expiresAt: Date | null
}

const ROOT: Admin = { id: 'root', role: 'root', tenantId: null, expiresAt: null }

/**
 * Says who holds the credential of an `Authorization: Bearer …` header: the root token, which is compared in memory
 * (none set: root is off), or an admin token, which Postgres is asked about each time.
 */
export class AdminAuth {
  readonly #rootDigests: readonly Buffer[]
  readonly #tokens: AdminTokens

  constructor(options: { rootTokens: readonly Secret[]; tokens: AdminTokens }) {
    this.#rootDigests = options.rootTokens.map(token => sha256(token.reveal()))
    this.#tokens = options.tokens
  }

  /** @throws {Unauthenticated} Unknown, expired and revoked look alike. @throws {Unavailable} */
  async authenticate(authorization: string | undefined): Promise<Admin> {
    const [, presented] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? []
    if (presented === undefined) {
      throw new Unauthenticated(
        'Send the root token or an admin token as "Authorization: Bearer …".',
        'absent',
      )
    }
    if (this.#isRoot(presented)) return ROOT
    const checked = await this.#tokens.authenticate(presented)
    if (!checked.ok) throw new Unauthenticated('The token is not valid.', checked.reason, checked.tokenId)
    const { id, role, tenantId, expiresAt } = checked.token
    return { id, role, tenantId, expiresAt }
  }

  #isRoot(presented: string): boolean {
    // Digests first, so that the comparison takes the same time whatever the length, and every token is compared.
    const digest = sha256(presented)
    return this.#rootDigests.filter(own => timingSafeEqual(own, digest)).length > 0
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest()
