import { createCipheriv, createDecipheriv } from 'node:crypto'
import { calculateJwkThumbprint, type JWK } from 'jose'
import type { Random } from '../system/random.ts'
import type { NamedKey } from '../system/secret.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

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
    const nonce = this.#random.bytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', first.key.reveal(), nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(Buffer.from(kid))
    const ciphertext = Buffer.concat([cipher.update(JSON.stringify(privateJwk), 'utf8'), cipher.final()])
    return { encryptionKeyId: first.id, bytes: Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]) }
  }

  /** @throws {KeyDecryptionError} with the cause and the cure. */
  async decrypt(kid: string, { encryptionKeyId, bytes }: EncryptedKey): Promise<JWK> {
    const named = this.#keys.find(key => key.id === encryptionKeyId)
    if (!named) {
      throw new KeyDecryptionError(
        `Signing key ${kid} is encrypted with the encryption key "${encryptionKeyId}", which MINTMARK_ENCRYPTION_KEYS lacks: add it to the list.`,
      )
    }
    const jwk = open(named, kid, bytes)
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

function open({ key }: NamedKey, kid: string, bytes: Buffer): JWK | undefined {
  const nonce = bytes.subarray(0, NONCE_BYTES)
  const tag = bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
  try {
    const decipher = createDecipheriv('aes-256-gcm', key.reveal(), nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(kid))
    decipher.setAuthTag(tag)
    const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
    return JSON.parse(text.toString('utf8'))
  } catch {
    return undefined
  }
}
