import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { NamedKey } from '../../system/secret.ts'

/** Says that a secret was compared with an imported hash and matched. */
export interface SecretProof {
  pepperId: string
  /** 32 bytes in base64. */
  digest: string
}

/** An imported client's secret, and the hash that it is for. */
export interface ImportedCredential {
  clientId: string
  hash: string
  secret: string
}

/**
 * Proofs of imported secrets: HMAC-SHA-256(pepper, client_id, hash, secret). A stored proof replaces the next bcrypt
 * comparison, so it grants access as the hash does. It is bound to the client and to the hash, so it ends with either;
 * and only a process that holds the pepper can make one: write access to the database is not enough. A proof under a
 * pepper that this process does not hold is none.
 */
export class SecretProofs {
  readonly #peppers: ReadonlyMap<string, KeyObject>
  /** The pepper of new proofs. */
  readonly #current: string

  constructor(peppers: readonly NamedKey[]) {
    this.#peppers = new Map(peppers.map(({ id, key }) => [id, createSecretKey(key.reveal())]))
    const [first] = peppers
    if (!first) throw new Error('there is no pepper')
    this.#current = first.id
  }

  /** A proof under the current pepper. */
  of(credential: ImportedCredential): SecretProof {
    const key = this.#peppers.get(this.#current) as KeyObject
    return { pepperId: this.#current, digest: digestOf(key, credential).toString('base64') }
  }

  /** Whether the proof is under the current pepper. */
  isCurrent({ pepperId }: SecretProof): boolean {
    return pepperId === this.#current
  }

  /** Whether this process holds the pepper of the proof. */
  knows({ pepperId }: SecretProof): boolean {
    return this.#peppers.has(pepperId)
  }

  /** Whether the proof is of this credential. Compared in constant time. */
  holds({ pepperId, digest }: SecretProof, credential: ImportedCredential): boolean {
    const key = this.#peppers.get(pepperId)
    const given = Buffer.from(digest, 'base64')
    return key !== undefined && given.length === 32 && timingSafeEqual(given, digestOf(key, credential))
  }
}

/** The NUL separates: neither a client_id nor a hash contains one, and the secret is last. */
const digestOf = (key: KeyObject, { clientId, hash, secret }: ImportedCredential): Buffer =>
  createHmac('sha256', key).update(`mintmark imported secret\0${clientId}\0${hash}\0${secret}`).digest()
