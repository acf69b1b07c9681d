import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import type { NamedKey } from '../system/secret.ts'

export interface KeyDigest {
  pepperId: string
  /** HMAC-SHA-256(pepper, whole key), 32 bytes. */
  digest: Buffer
}

/**
 * Digests of whole keys under the peppers, which are stored outside the database. A key has 256 random bits, so it
 * needs no slow hash (NIST SP 800-63B §5.1.2.2 requires one below 112), and it is found by its digest, so no secret is
 * compared byte by byte. docs/decisions/0001-hmac-not-bcrypt-for-generated-keys.md
 */
export class KeyDigests {
  readonly #peppers: readonly NamedKey[]
  readonly #prepared: readonly { id: string; key: KeyObject }[]

  constructor(peppers: readonly NamedKey[]) {
    this.#peppers = peppers
    this.#prepared = peppers.map(({ id, key }) => ({ id, key: createSecretKey(key.reveal()) }))
  }

  /** The pepper of new digests. */
  get storing(): NamedKey {
    const [first] = this.#peppers
    if (!first) throw new Error('there is no pepper')
    return first
  }

  forStoring(credential: string): KeyDigest {
    const [first] = this.#prepared
    if (!first) throw new Error('there is no pepper')
    return digest(first, credential)
  }

  /** The digests under every pepper, for lookups. */
  forFinding(credential: string): KeyDigest[] {
    return this.#prepared.map(pepper => digest(pepper, credential))
  }

  /** The same digests in base64: the names of a secret in the directory. The first is for storing. */
  names(credential: string): string[] {
    return this.#prepared.map(({ key }) => createHmac('sha256', key).update(credential).digest('base64'))
  }

  /**
   * The directory's name of an imported secret that is found by its SHA-256, given in hex. Under this process's own pepper: it
   * is stored nowhere.
   */
  lookupName(sha256: string): string {
    const [first] = this.#prepared
    if (!first) throw new Error('there is no pepper')
    return createHmac('sha256', first.key).update(`mintmark lookup\0${sha256}`).digest('base64')
  }
}

const digest = ({ id, key }: { id: string; key: KeyObject }, credential: string): KeyDigest => ({
  pepperId: id,
  digest: createHmac('sha256', key).update(credential).digest(),
})
