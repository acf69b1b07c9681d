import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { Conflict } from '../errors.ts'
import { readInstallation } from '../installation/installation.ts'
import { type EncryptedKey, KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import { lockSigningKeys, publishedKeys, replaceEncryption } from './signing-key-repository.ts'

export interface Rewrapped {
  encryptionKeyId: string
  /** Number of private keys that were re-encrypted. */
  rewrapped: number
}

/**
 * Re-encrypts every private key under the first encryption key, all or none, so that the others can be removed.
 * @throws {Conflict} when one cannot be decrypted, or another replica was started with another first key.
 */
export async function rewrap(
  { database, encryption }: { database: Database; encryption: KeyEncryption },
  actor: Actor,
): Promise<Rewrapped> {
  return mutate(database, actor, async ({ trx, record }) => {
    await lockSigningKeys(trx)
    const encryptionKeyId = encryption.currentId
    const { currentEncryptionKey: current } = await readInstallation(trx)
    if (current !== encryptionKeyId)
      throw new Conflict('another_encryption_key', behind(encryptionKeyId, current))
    let rewrapped = 0
    for (const { kid, encrypted } of await publishedKeys(trx)) {
      if (!encrypted || encrypted.encryptionKeyId === encryptionKeyId) continue
      await replaceEncryption(
        trx,
        kid,
        encrypted,
        encryption.encrypt(kid, await opened(encryption, kid, encrypted)),
      )
      const changes = { encryptionKeyId: { from: encrypted.encryptionKeyId, to: encryptionKeyId } }
      const event = {
        action: 'signing-key.rewrap' as const,
        targetKind: 'signing-key',
        targetId: kid,
        changes,
      }
      record(event, { kind: 'signing-keys', id: kid })
      rewrapped++
    }
    return { encryptionKeyId, rewrapped }
  })
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

const behind = (own: string, current: string) =>
  `This replica encrypts with "${own}", but a later one uses "${current}". Repeat the request there, or restart this one with "${current}" first in MINTMARK_ENCRYPTION_KEYS.`
