import type { Database } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import { readInstallation } from '../installation/installation.ts'
import { KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import { KeyRing, type RingKey } from './key-ring.ts'
import { importPrivateKey, type SigningKey } from './signing-key.ts'
import { publishedKeys, type StoredKey } from './signing-key-repository.ts'

/**
 * The stored keys, and the policy of the same snapshot, as a ring. Private keys in `before` are not decrypted again, so
 * a running process continues to sign whatever happens to the encryption keys. A private key that does not decrypt is a
 * fault: its key is published but not used to sign.
 *
 * @throws {Unavailable} when no key is stored: an empty set would make every verifier reject all tokens.
 */
export async function readRing(
  database: Database,
  encryption: KeyEncryption,
  before: KeyRing | undefined,
): Promise<{ ring: KeyRing; faults: KeyDecryptionError[] }> {
  const { stored, policy } = await database.readSnapshot(async trx => ({
    stored: await publishedKeys(trx),
    policy: (await readInstallation(trx)).policy,
  }))
  if (stored.length === 0) throw new Unavailable('No signing key is stored yet. Retry.')
  const faults: KeyDecryptionError[] = []
  const opened = stored.map(key =>
    open(key, encryption, before).catch(error => {
      if (!(error instanceof KeyDecryptionError)) throw error
      faults.push(error)
      return { ...withoutPrivateHalf(key), privateKey: undefined }
    }),
  )
  return { ring: await KeyRing.of(await Promise.all(opened), policy), faults }
}

async function open(
  stored: StoredKey,
  encryption: KeyEncryption,
  before: KeyRing | undefined,
): Promise<RingKey> {
  const { encrypted } = stored
  const key = withoutPrivateHalf(stored)
  if (!encrypted) return { ...key, privateKey: undefined }
  const held = before?.keys.find(candidate => candidate.kid === key.kid)?.privateKey
  const privateKey = held ?? importPrivateKey(await encryption.decrypt(key.kid, encrypted))
  return { ...key, privateKey }
}

export function withoutPrivateHalf({ encrypted: _, ...key }: StoredKey): SigningKey {
  return key
}
