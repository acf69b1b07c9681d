import { findRecordedTargets } from '../audit/audit-event-repository.ts'
import type { Mutation } from '../audit/audit-log.ts'
import type { Handle } from '../database/database.ts'
import { readInstallation } from '../installation/installation.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import { isKeyPair } from './key-pair.ts'
import { importPrivateKey } from './signing-key.ts'
import { lockSigningKeys, publishedRows, sealSigningKey } from './signing-key-repository.ts'
import { hasRightKid, type SigningKeyRow, signingKeyFault } from './signing-key-seal.ts'

/** A published row without a right seal, and why it is not sealed; undefined: it can be. */
export interface UnsealedKey {
  row: SigningKeyRow
  obstacle: string | undefined
}

interface Means {
  encryption: KeyEncryption
  seals: RowSeals
  /** Also seal a key without a private half of which the audit trail does not have the creation. */
  acceptUnproven: boolean
}

/**
 * The published rows without a right seal. One can be sealed when it carries no seal at all, its kid is the thumbprint of
 * its public key, and its private half, which only a holder of the encryption keys can write, belongs to it.
 */
export async function surveySigningKeys(db: Handle, means: Means): Promise<UnsealedKey[]> {
  const rows = await publishedRows(db)
  const { recorded } = await readInstallation(db)
  const kids = rows.map(({ kid }) => kid)
  const created = await findRecordedTargets(db, 'signing-key.create', kids)
  const unsealed: UnsealedKey[] = []
  for (const row of rows) {
    const fault = await signingKeyFault(row, means.seals, recorded)
    if (!fault) continue
    const obstacle =
      fault === 'unsealed'
        ? await obstacleOf(row, means, created)
        : `it carries a seal that is not right (${fault}): it was changed after it was sealed, or never was`
    unsealed.push({ row, obstacle })
  }
  return unsealed
}

/** Seals those of `kids` that still can be. Returns their number. */
export async function sealSigningKeys(
  { trx, record }: Mutation,
  means: Means,
  kids: readonly string[],
): Promise<number> {
  await lockSigningKeys(trx)
  const rows = (await surveySigningKeys(trx, means)).filter(
    ({ row, obstacle }) => obstacle === undefined && kids.includes(row.kid),
  )
  for (const { row } of rows) {
    await sealSigningKey(trx, means.seals, row)
    const changes = { sealedWith: { from: null, to: means.seals.current } }
    record(
      { action: 'signing-key.seal', targetKind: 'signing-key', targetId: row.kid, changes },
      { kind: 'signing-keys', id: row.kid },
    )
  }
  return rows.length
}

async function obstacleOf(
  row: SigningKeyRow,
  { encryption, acceptUnproven }: Means,
  created: ReadonlySet<string>,
): Promise<string | undefined> {
  if (!(await hasRightKid(row))) return 'its kid is not the RFC 7638 thumbprint of its public key'
  const { kid, private_encrypted: bytes, encryption_key_id: encryptionKeyId } = row
  if (!bytes || encryptionKeyId === null) {
    if (created.has(kid) || acceptUnproven) return undefined
    return 'it has no private half, and the audit trail does not have its creation'
  }
  try {
    const privateKey = importPrivateKey(await encryption.decrypt(kid, { encryptionKeyId, bytes }))
    return isKeyPair(privateKey, { publicJwk: row.public_jwk })
      ? undefined
      : 'its private half belongs to another key'
  } catch (error) {
    if (error instanceof KeyDecryptionError) return error.message
    throw error
  }
}
