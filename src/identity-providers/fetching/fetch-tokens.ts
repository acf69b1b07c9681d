import type { Random } from '../../system/random.ts'
import { openText, sealText } from '../../system/sealed-text.ts'
import type { NamedKey, Secret } from '../../system/secret.ts'
import { FetchFault } from './fetch-fault.ts'

/** A fetch token as it is stored: the id of its encryption key, a colon, and the encrypted token in base64url. */
export type StoredFetchToken = string

const nameOf = (providerId: string) => `fetch token of ${providerId}`

/**
 * Encrypts the tokens that keys of issuers are fetched with, under the first of the encryption keys. The provider is
 * associated data, so a token that is moved to another provider does not decrypt.
 */
export class FetchTokens {
  readonly #keys: readonly NamedKey[]
  readonly #random: Random

  constructor(options: { keys: readonly NamedKey[]; random: Random }) {
    this.#keys = options.keys
    this.#random = options.random
  }

  encrypt(providerId: string, token: Secret): StoredFetchToken {
    const [first] = this.#keys
    if (!first) throw new Error('there is no encryption key')
    return `${first.id}:${sealText(first, nameOf(providerId), token.reveal(), this.#random).toString('base64url')}`
  }

  /** @throws {FetchFault} when it cannot be decrypted */
  decrypt(providerId: string, stored: StoredFetchToken): string {
    const [id = '', encrypted = ''] = stored.split(':')
    const key = this.#keys.find(each => each.id === id)
    if (!key)
      throw new FetchFault(
        'token',
        'The encryption key of the fetch token is not in MINTMARK_ENCRYPTION_KEYS.',
      )
    const token = openText(key, nameOf(providerId), Buffer.from(encrypted, 'base64url'))
    if (token === undefined)
      throw new FetchFault('token', 'The fetch token cannot be decrypted: set it again.')
    return token
  }

  /** Whether it is encrypted under the first key. */
  isCurrent(stored: StoredFetchToken): boolean {
    return stored.startsWith(`${this.#keys[0]?.id}:`)
  }
}

/** For the audit trail: differs for each that is set, and says nothing about it. */
export const fetchTokenMark = (stored: StoredFetchToken): string => `set (${stored.slice(-8)})`
