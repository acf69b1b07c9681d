import { calculateJwkThumbprint, type JWK } from 'jose'
import type { Random } from '../system/random.ts'
import { openText, sealText } from '../system/sealed-text.ts'
import type { NamedKey } from '../system/secret.ts'

/** An encrypted private key: nonce ‖ tag ‖ ciphertext, and the id of its encryption key. */
export interface EncryptedKey {
  encryptionKeyId: string
  bytes: Buffer
}

/** The stored private key cannot be decrypted: its encryption key is missing or different, or the row was altered. */
export class KeyDecryptionError extends Error {
  override readonly name = 'KeyDecryptionError'
}

/**
 * Encrypts private keys with AES-256-GCM under the first of the encryption keys and decrypts under any. The kid is
 * associated data, so a row moved to another kid does not decrypt. The one module to replace for a KMS.
 */
export class KeyEncryption {
  readonly #keys: readonly NamedKey[]
  readonly #random: Random

  constructor(options: { keys: readonly NamedKey[]; random: Random }) {
    this.#keys = options.keys
    this.#random = options.random
  }

  /** The id of the key used for encryption. */
  get currentId(): string {
    return this.#first.id
  }

  encrypt(kid: string, privateJwk: JWK): EncryptedKey {
    const first = this.#first
    const bytes = sealText(first, kid, JSON.stringify(privateJwk), this.#random)
    return { encryptionKeyId: first.id, bytes }
  }

  /** @throws {KeyDecryptionError} with the cause and the cure. */
  async decrypt(kid: string, { encryptionKeyId, bytes }: EncryptedKey): Promise<JWK> {
    const named = this.#keys.find(key => key.id === encryptionKeyId)
    if (!named) {
      throw new KeyDecryptionError(
        `Signing key ${kid} is encrypted with the encryption key "${encryptionKeyId}", which MINTMARK_ENCRYPTION_KEYS lacks: add it to the list.`,
      )
    }
    const jwk = jwkIn(openText(named, kid, bytes))
    if (!jwk || (await calculateJwkThumbprint(jwk, 'sha256')) !== kid) {
      throw new KeyDecryptionError(
        `Signing key ${kid} cannot be decrypted with the encryption key "${encryptionKeyId}": that key is not the original one, or the row was altered. Restore the original key or the row.`,
      )
    }
    return jwk
  }

  get #first(): NamedKey {
    const [first] = this.#keys
    if (!first) throw new Error('there is no encryption key')
    return first
  }
}

function jwkIn(text: string | undefined): JWK | undefined {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
