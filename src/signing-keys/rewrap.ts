import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { Conflict } from '../errors.ts'
import { readInstallation } from '../installation/installation.ts'
import { type RowSeals, sealIds } from '../installation/row-seals.ts'
import { type EncryptedKey, KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import { publishedRows } from './published-key-repository.ts'
import {
  changeSigningKey,
  type KeyChange,
  lockSigningKeys,
  readKeys,
  type StoredKey,
} from './signing-key-repository.ts'

export interface Rewrapped {
  encryptionKeyId: string
  /** Number of private keys that were re-encrypted. */
  rewrapped: number
  /** Number of rows that were sealed again. */
  resealed: number
}

/** Seals rows of other rooms again under the first encryption key and pepper; returns their number. */
export type Reseal = (actor: Actor) => Promise<number>

/**
 * Re-encrypts every private key under the first encryption key, all or none, and seals every row under the first
 * encryption key and pepper, so that the others can be removed. Rows that are not genuine stay as they are.
 * @throws {Conflict} when one cannot be decrypted, or another replica was started with another first key or pepper.
 */
export async function rewrap(
  parts: {
    database: Database
    encryption: KeyEncryption
    seals: RowSeals
    reseal: Reseal
    known: readonly string[]
  },
  actor: Actor,
): Promise<Rewrapped> {
  const { database, encryption, seals, known } = parts
  const done = await mutate(database, actor, async ({ trx, record }) => {
    await lockSigningKeys(trx)
    const encryptionKeyId = encryption.currentId
    const installation = await readInstallation(trx)
    refuseBehind(encryptionKeyId, installation.currentEncryptionKey, 'ENCRYPTION_KEYS')
    refuseBehind(sealIds(seals.current)?.pepperId ?? '', installation.currentPepper, 'PEPPERS')
    const { keys } = await readKeys(trx, seals, known)
    const sealedWith = new Map((await publishedRows(trx, known)).rows.map(row => [row.kid, row.sealed_with]))
    let rewrapped = 0
    let resealed = 0
    for (const key of keys) {
      const { kid, state } = key
      const change = await reencrypted(encryption, key)
      const before = sealedWith.get(kid) ?? null
      const moves = before !== seals.current
      if (!change && !moves) continue
      await changeSigningKey(trx, seals, kid, [state], change ?? {})
      const changes = {
        ...(change && {
          encryptionKeyId: { from: key.encrypted?.encryptionKeyId ?? null, to: encryptionKeyId },
        }),
        ...(moves && { sealedWith: { from: before, to: seals.current } }),
      }
      record(
        { action: 'signing-key.rewrap', targetKind: 'signing-key', targetId: kid, changes },
        { kind: 'signing-keys', id: kid },
      )
      if (change) rewrapped++
      if (moves) resealed++
    }
    return { encryptionKeyId, rewrapped, resealed }
  })
  const { id, requestId, source } = actor
  const others = await parts.reseal({ id, ...(requestId && { requestId }), ...(source && { source }) })
  return { ...done, resealed: done.resealed + others }
}

/** Undefined: the private key is encrypted with the first encryption key, or deleted. @throws {Conflict} */
async function reencrypted(
  encryption: KeyEncryption,
  { kid, encrypted }: StoredKey,
): Promise<KeyChange | undefined> {
  if (!encrypted || encrypted.encryptionKeyId === encryption.currentId) return undefined
  const after = encryption.encrypt(kid, await opened(encryption, kid, encrypted))
  return { private_encrypted: after.bytes, encryption_key_id: after.encryptionKeyId }
}

async function opened(encryption: KeyEncryption, kid: string, encrypted: EncryptedKey) {
  try {
    return await encryption.decrypt(kid, encrypted)
  } catch (error) {
    if (error instanceof KeyDecryptionError)
      throw new Conflict('signing_key_not_opened', error.message, { cause: error })
    throw error
  }
}

/** @throws {Conflict} when a later replica was started with another first value. */
function refuseBehind(own: string, current: string, list: 'ENCRYPTION_KEYS' | 'PEPPERS'): void {
  if (own === current) return
  throw new Conflict(
    'another_encryption_key',
    `This replica encrypts and seals with "${own}", but a later one uses "${current}". Repeat the request there, or restart this one with "${current}" first in MINTMARK_${list}.`,
  )
}
