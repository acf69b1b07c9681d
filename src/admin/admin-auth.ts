import { createHash, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../system/secret.ts'
import { Unauthenticated } from './problem.ts'
import type { Role } from './rights-table.ts'

/** Who is at the admin API. */
export interface Admin {
  /** `root`; later an admin token's id. */
  id: string
  role: Role
}

/** Says who holds the credential of an `Authorization: Bearer …` header. */
export class AdminAuth {
  readonly #rootDigests: readonly Buffer[]

  constructor(options: { rootTokens: readonly Secret[] }) {
    this.#rootDigests = options.rootTokens.map(token => sha256(token.reveal()))
  }

  /** @throws {Unauthenticated} */
  authenticate(authorization: string | undefined): Admin {
    const [, token] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? []
    if (token === undefined) {
      throw new Unauthenticated('Send the root token as "Authorization: Bearer …".')
    }
    // Digests first, so that the comparison takes the same time whatever the length, and every token is compared.
    const presented = sha256(token)
    const matches = this.#rootDigests.filter(digest => timingSafeEqual(digest, presented))
    if (matches.length === 0) throw new Unauthenticated('The token is not valid.')
    return { id: 'root', role: 'root' }
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest()
