import type { Database } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import { isKeyPair } from './key-pair.ts'
import { KeyRing, type RingKey } from './key-ring.ts'
import { publishedSetModifiedAt } from './published-key-repository.ts'
import { importPrivateKey, type SigningKey } from './signing-key.ts'
import { type ReadKeys, type RejectedKey, readKeys, type StoredKey } from './signing-key-repository.ts'

interface StoredRing {
  ring: KeyRing
  faults: KeyDecryptionError[]
  rejected: RejectedKey[]
}

/**
 * The genuine stored keys, and the policy of the same snapshot, as a ring. Private keys in `before` are not decrypted
 * again. A private key that does not decrypt is a fault: its key is published but not used to sign.
 *
 * A row that is not genuine is left out, also when it was in `before`. The exception is a row sealed with a key that
 * other replicas of the installation have and this one lacks: what this process knows of it stays in use, and nothing of
 * the row is, so a running process continues to sign whatever happens to the encryption keys.
 *
 * @throws {Unavailable} when no key is stored: an empty set would make every verifier reject all tokens.
 */
export async function readRing(
  { database, encryption, seals }: { database: Database; encryption: KeyEncryption; seals: RowSeals },
  before: KeyRing | undefined,
): Promise<StoredRing> {
  const kids = before?.keys.map(({ kid }) => kid) ?? []
  const read = await database.readSnapshot(async trx => ({
    ...(await readKeys(trx, seals, kids)),
    modifiedAt: await publishedSetModifiedAt(trx),
  }))
  return ringOf(read, encryption, before)
}

/** What a ring is made of; `modifiedAt` is when the set was last changed, as epoch milliseconds. */
type Read = Pick<ReadKeys, 'keys' | 'rejected' | 'policy'> & { modifiedAt: number | undefined }

/** The ring of keys that were read, as `readRing`. */
export async function ringOf(
  { keys, rejected, policy, modifiedAt }: Read,
  encryption: KeyEncryption,
  before: KeyRing | undefined,
): Promise<StoredRing> {
  if (keys.length + rejected.length === 0) throw new Unavailable('No signing key is stored yet. Retry.')
  const faults: KeyDecryptionError[] = []
  const opened = keys.map(key =>
    open(key, encryption, before).catch(error => {
      if (!(error instanceof KeyDecryptionError)) throw error
      faults.push(error)
      return { ...withoutPrivateKey(key), privateKey: undefined }
    }),
  )
  const lacking = new Set(rejected.flatMap(({ kid, fault }) => (fault === 'lacking_key' ? kid : [])))
  const remembered = before?.keys.filter(({ kid }) => lacking.has(kid)) ?? []
  const ring = await KeyRing.of([...(await Promise.all(opened)), ...remembered], policy, modifiedAt)
  return { ring, faults, rejected }
}

async function open(
  stored: StoredKey,
  encryption: KeyEncryption,
  before: KeyRing | undefined,
): Promise<RingKey> {
  const { encrypted } = stored
  const key = withoutPrivateKey(stored)
  if (!encrypted) return { ...key, privateKey: undefined }
  const held = before?.keys.find(candidate => candidate.kid === key.kid)?.privateKey
  if (held) return { ...key, privateKey: held }
  const privateKey = importPrivateKey(await encryption.decrypt(key.kid, encrypted))
  if (isKeyPair(privateKey, key)) return { ...key, privateKey }
  throw new KeyDecryptionError(
    `The private key of the signing key ${key.kid} belongs to another public key. Restore its row from a backup.`,
  )
}

export function withoutPrivateKey({ encrypted: _, ...key }: StoredKey): SigningKey {
  return key
}
