import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { Schema } from '../database/schema.ts'
import type { NamedKey } from '../system/secret.ts'
import { firstOf } from './installation-secrets.ts'

/** A column as it is sealed. Instants are epoch milliseconds; JSON is canonical text. */
export type SealedValue = string | number | boolean | null | Buffer

/**
 * A kind of rows that grant trust: a row written without Mintmark's keys must have no effect. A new kind declares
 * its table here, reads rows through `RowSeals.faultOf`, writes them with `RowSeals.seal`, and reports what it rejects
 * to `UntrustedRows`.
 */
export interface SealedKind<Column extends string = string> {
  /** The label of metrics. */
  kind: 'signing_key' | 'imported_secret' | 'identity_provider' | 'key_credential'
  table: keyof Schema
  /** The columns that the seal covers, in the order of the encoding, which never changes within a version. */
  columns: readonly Column[]
  /** Every other column, and why the seal need not cover it. */
  harmless: Readonly<Record<string, string>>
}

/** The seal of a row, as stored. */
export interface Seal {
  /** `v1:<encryption key id>:<pepper id>`: the version of the encoding, and what the key was derived from. */
  sealedWith: string
  /** HMAC-SHA-256, 32 bytes. */
  seal: Buffer
}

export interface StoredSeal {
  sealedWith: string | null
  seal: Buffer | null
}

/**
 * Why a row is not trusted.
 * - unsealed: it carries no seal
 * - wrong_seal: it was changed, or sealed for another row
 * - unknown_key: its seal names a key that the installation does not have, or no longer seals with
 * - lacking_key: it names a key that the installation has, and this process lacks the ones that replicas seal with
 * - wrong_key_pair: the kid is not the thumbprint of the public key, or the private key is another one's
 * - superseded: its seal is valid, and a newer row of the same algorithm and state exists: it was put back
 * - revoked: its seal is valid, and this process knows that it was revoked: it was put back, or the database was restored
 */
export type RowFault =
  | 'unsealed'
  | 'wrong_seal'
  | 'unknown_key'
  | 'lacking_key'
  | 'wrong_key_pair'
  | 'superseded'
  | 'revoked'

/** Ids of encryption keys and peppers, as the installation record has them. */
export interface RecordedIds {
  encryptionKeys: readonly string[]
  peppers: readonly string[]
  /** What replicas seal with now; undefined: a reader that uses genuine rows only, whatever is wrong with the others. */
  current: { encryptionKey: string; pepper: string } | undefined
}

const VERSION = 'v1'

/**
 * Seals rows that grant trust, and verifies them: HMAC-SHA-256 over the meaning of the row, with a key of its kind
 * derived (RFC 5869) from an encryption key and a pepper, which the database never holds. So neither the database's
 * roles nor one leaked secret alone can make such a row. New seals use the first of both lists; seals under any are
 * accepted. docs/decisions/0016-sealed-rows.md
 */
export class RowSeals {
  readonly #encryptionKeys: readonly NamedKey[]
  readonly #peppers: readonly NamedKey[]
  readonly #derived = new Map<string, Buffer>()
  /** Whether a signing key was revoked, whatever its row says: a restore of the database brings back genuine rows. */
  readonly isRevokedKid: (kid: string) => boolean

  constructor(options: {
    encryptionKeys: readonly NamedKey[]
    peppers: readonly NamedKey[]
    isRevokedKid?: (kid: string) => boolean
  }) {
    this.#encryptionKeys = options.encryptionKeys
    this.#peppers = options.peppers
    this.isRevokedKid = options.isRevokedKid ?? (() => false)
  }

  /** The `sealedWith` of new seals. */
  get current(): string {
    return `${VERSION}:${firstOf(this.#encryptionKeys).id}:${firstOf(this.#peppers).id}`
  }

  seal<Column extends string>(kind: SealedKind<Column>, row: Record<Column, SealedValue>): Seal {
    const sealedWith = this.current
    const key = this.#key(kind, sealedWith)
    if (!key) throw new Error('there is no key to seal with')
    return { sealedWith, seal: mac(key, kind, sealedWith, row) }
  }

  /** Undefined: the row is genuine. */
  faultOf<Column extends string>(
    kind: SealedKind<Column>,
    row: Record<Column, SealedValue>,
    { sealedWith, seal }: StoredSeal,
    recorded: RecordedIds,
  ): RowFault | undefined {
    if (sealedWith === null && seal === null) return 'unsealed'
    if (sealedWith === null || seal === null) return 'wrong_seal'
    const key = this.#key(kind, sealedWith)
    if (!key) return this.#lacks(sealedWith, recorded) ? 'lacking_key' : 'unknown_key'
    const expected = mac(key, kind, sealedWith, row)
    return seal.length === expected.length && timingSafeEqual(seal, expected) ? undefined : 'wrong_seal'
  }

  /**
   * A process that has the current pair lacks nothing: at its start it had all that genuine rows need. So a forged row
   * that names a recorded key is untrusted like any other.
   */
  #lacks(sealedWith: string, recorded: RecordedIds): boolean {
    const { current } = recorded
    if (!current || !isRecorded(sealedWith, recorded)) return false
    const has = (keys: readonly NamedKey[], id: string) => keys.some(key => key.id === id)
    return !has(this.#encryptionKeys, current.encryptionKey) || !has(this.#peppers, current.pepper)
  }

  #key({ kind }: SealedKind, sealedWith: string): Buffer | undefined {
    const name = `${kind} ${sealedWith}`
    const known = this.#derived.get(name)
    if (known) return known
    const [version, encryptionKeyId, pepperId] = sealedWith.split(':')
    const encryptionKey = this.#encryptionKeys.find(({ id }) => id === encryptionKeyId)
    const pepper = this.#peppers.find(({ id }) => id === pepperId)
    if (version !== VERSION || !encryptionKey || !pepper || name !== nameOf(kind, encryptionKey, pepper))
      return undefined
    // Both have exactly 32 bytes.
    const material = Buffer.concat([encryptionKey.key.reveal(), pepper.key.reveal()])
    const derived = Buffer.from(hkdfSync('sha256', material, '', `mintmark sealed row ${kind}`, 32))
    this.#derived.set(name, derived)
    return derived
  }
}

/** Identifies the row as it is, for a process that compares it with what it read before. No proof of anything. */
export function rowDigest<Column extends string>(
  kind: SealedKind<Column>,
  row: Record<Column, SealedValue>,
): string {
  return mac(Buffer.alloc(32), kind, '', row).toString('base64url')
}

/** The ids that a seal depends on; undefined for text that no version of Mintmark writes. */
export function sealIds(sealedWith: string): { encryptionKeyId: string; pepperId: string } | undefined {
  const [, encryptionKeyId, pepperId] = /^v1:([\w-]{1,32}):([\w-]{1,32})$/.exec(sealedWith) ?? []
  return encryptionKeyId === undefined || pepperId === undefined ? undefined : { encryptionKeyId, pepperId }
}

function isRecorded(sealedWith: string, { encryptionKeys, peppers }: RecordedIds): boolean {
  const ids = sealIds(sealedWith)
  return ids !== undefined && encryptionKeys.includes(ids.encryptionKeyId) && peppers.includes(ids.pepperId)
}

const nameOf = (kind: string, encryptionKey: NamedKey, pepper: NamedKey) =>
  `${kind} ${VERSION}:${encryptionKey.id}:${pepper.id}`

/**
 * The encoding is unambiguous: each part is preceded by its length, and each value by its type. It has the table, each
 * column's name and value, and what the key was derived from.
 */
function mac<Column extends string>(
  key: Buffer,
  { table, columns }: SealedKind<Column>,
  sealedWith: string,
  row: Record<Column, SealedValue>,
): Buffer {
  const hmac = createHmac('sha256', key)
  const add = (part: string | Buffer) => {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hmac.update(length).update(bytes)
  }
  add('mintmark sealed row')
  add(sealedWith)
  add(table)
  for (const column of columns) {
    const value = row[column]
    add(column)
    add(value === null ? 'null' : Buffer.isBuffer(value) ? 'bytes' : typeof value)
    add(value === null ? '' : Buffer.isBuffer(value) ? value : String(value))
  }
  return hmac.digest()
}
