import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { Invalid } from '../errors.ts'
import type { Random } from '../system/random.ts'
import type { NamedKey } from '../system/secret.ts'

/** The list that a cursor continues. A cursor of another list, tenant or filter is rejected. */
export interface List {
  path: string
  /** The tenant of the list; absent: not limited to one. */
  tenant?: string | null | undefined
  filter?: object
}

const CIPHER = 'aes-256-gcm'
/** NIST SP 800-38D §8.2.2: a random nonce of 96 bits. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const BINDING_BYTES = 8
/** Longer than every position: all cursors have the same length. */
const PLACE_BYTES = 40

/**
 * Writes and reads the cursors of all lists. A position counts objects of all tenants, so it is encrypted, with a key
 * derived from an encryption key (RFC 5869): a cursor is valid on every replica and after a restart.
 */
export class Cursors {
  /** The first one encrypts, all decrypt. */
  readonly #keys: readonly Buffer[]
  readonly #random: Random
  readonly #placeBytes: number

  /** `placeBytes`: of the longest position. */
  constructor({
    encryptionKeys,
    random,
    placeBytes = PLACE_BYTES,
  }: {
    encryptionKeys: readonly NamedKey[]
    random: Random
    placeBytes?: number
  }) {
    this.#keys = encryptionKeys.map(({ key }) =>
      Buffer.from(hkdfSync('sha256', key.reveal(), '', 'mintmark list cursor', 32)),
    )
    this.#random = random
    this.#placeBytes = placeBytes
  }

  /** `place` is the position where the next page begins, at most 40 ASCII characters unless more are set. */
  write(list: List, place: string): string {
    const [key] = this.#keys
    if (!key || place.length > this.#placeBytes) throw new Error('a cursor cannot be written')
    const nonce = this.#random.bytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, key, nonce)
    const text = Buffer.concat([...bindings(list), Buffer.from(place.padEnd(this.#placeBytes))])
    return Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString(
      'base64url',
    )
  }

  /** The position passed to `write`. @throws {Invalid} naming what the cursor does not belong to. */
  read(list: List, cursor: string, form: RegExp): string {
    const text = this.#decrypted(Buffer.from(cursor, 'base64url'))
    if (!text) throw refused('is not a next_cursor of this API: send one from the previous page, or none')
    const wanted = bindings(list)
    const other = wanted.findIndex((binding, index) => !binding.equals(part(text, index)))
    if (other >= 0) throw refused(`belongs to another ${WHAT[other]}`)
    const place = text
      .subarray(wanted.length * BINDING_BYTES)
      .toString('latin1')
      .trimEnd()
    if (!form.test(place)) throw new Error('a cursor has a position of another form')
    return place
  }

  #decrypted(sealed: Buffer): Buffer | undefined {
    if (sealed.length !== SEALED_BYTES + this.#placeBytes) return undefined
    for (const key of this.#keys) {
      const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES))
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
      const text = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES))
      try {
        return Buffer.concat([text, decipher.final()])
      } catch {
        // Encrypted with another key, or not by Mintmark.
      }
    }
    return undefined
  }
}

const WHAT = ['list', 'tenant', 'filter: repeat the filter of the first page'] as const
const SEALED_BYTES = NONCE_BYTES + WHAT.length * BINDING_BYTES + TAG_BYTES

/** In the order of `WHAT`. */
const bindings = ({ path, tenant, filter }: List): Buffer[] =>
  [path, tenant ?? '', JSON.stringify(filter ?? {})].map(text =>
    createHash('sha256').update(text).digest().subarray(0, BINDING_BYTES),
  )

const part = (text: Buffer, index: number) =>
  text.subarray(index * BINDING_BYTES, (index + 1) * BINDING_BYTES)

const refused = (message: string) => new Invalid([{ pointer: '/cursor', message }])
