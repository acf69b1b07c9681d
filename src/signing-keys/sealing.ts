import { findRecordedActions, findSealed } from '../audit/audit-event-repository.ts'
import type { Mutation } from '../audit/audit-log.ts'
import type { Handle } from '../database/database.ts'
import { readInstallation } from '../installation/installation.ts'
import { type RowSeals, rowDigest } from '../installation/row-seals.ts'
import { KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import { isKeyPair } from './key-pair.ts'
import { publishedRows } from './published-key-repository.ts'
import { importPrivateKey } from './signing-key.ts'
import { lockSigningKeys, sealSigningKey } from './signing-key-repository.ts'
import {
  hasValidKid,
  SIGNING_KEY,
  type SigningKeyRow,
  sealedValues,
  signingKeyFault,
} from './signing-key-seal.ts'

/** A published row without a valid seal, and why it is not sealed; undefined: it can be. */
export interface UnsealedKey {
  row: SigningKeyRow
  /** Of the whole row. */
  digest: string
  obstacle: string | undefined
}

interface Means {
  encryption: KeyEncryption
  seals: RowSeals
  /** Also seal a signing key without a private key. */
  acceptUnproven: boolean
}

/**
 * The published rows without a valid seal. One can be sealed when it carries no seal at all, its kid is the thumbprint of
 * its public key, its private key, which only a holder of the encryption keys can write, belongs to that one, and the audit
 * trail has neither that it left nor that it was sealed. The trail is no proof that Mintmark created a key: the application's role can add rows
 * to it. It cannot remove any.
 */
export async function surveySigningKeys(db: Handle, means: Means): Promise<UnsealedKey[]> {
  const { rows } = await publishedRows(db)
  const { recorded } = await readInstallation(db)
  const kids = rows.map(({ kid }) => kid)
  const actions = await findRecordedActions(db, 'signing-key', kids, Object.keys(LEFT))
  const sealed = await findSealed(db, 'signing-key', kids, SEALED)
  const unsealed: UnsealedKey[] = []
  for (const row of rows) {
    const fault = await signingKeyFault(row, means.seals, recorded)
    if (!fault) continue
    const obstacle =
      fault === 'unsealed'
        ? ((await obstacleOf(row, means, actions.get(row.kid) ?? [])) ??
          (sealed.has(row.kid) ? WAS_SEALED : undefined))
        : `its seal is not valid (${fault}): it was changed after it was sealed, or never sealed`
    unsealed.push({ row, digest: rowDigest(SIGNING_KEY, sealedValues(row)), obstacle })
  }
  return unsealed
}

/** Seals those that still can be, and are as they were `shown`: kids with their digests. Returns their number. */
export async function sealSigningKeys(
  { trx, record }: Mutation,
  means: Means,
  shown: ReadonlyMap<string, string>,
): Promise<number> {
  await lockSigningKeys(trx)
  const rows = (await surveySigningKeys(trx, means)).filter(
    ({ row, digest, obstacle }) => obstacle === undefined && shown.get(row.kid) === digest,
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

/** Actions that seal the row. */
const SEALED = {
  always: ['signing-key.seal'],
  since: ['signing-key.create', 'signing-key.rewrap'],
}
const WAS_SEALED =
  'according to the audit trail it was sealed, and its seal was removed: replace it with "mintmark signing-key revoke"'

const RETIRED = 'signing-key.retiring'
/** Actions after which a key is not active or standby, or not published. */
const LEFT: Readonly<Record<string, string>> = {
  [RETIRED]: 'retired',
  'signing-key.revoke': 'was revoked',
  'signing-key.discard': 'was discarded',
  'signing-key.removed': 'was removed',
}

async function obstacleOf(
  row: SigningKeyRow,
  { encryption, acceptUnproven }: Means,
  actions: readonly string[],
): Promise<string | undefined> {
  if (!(await hasValidKid(row))) return 'its kid is not the RFC 7638 thumbprint of its public key'
  if (row.revoked_at !== null || row.removed_at !== null) return 'it was revoked or removed'
  const left = actions.find(action => row.state !== 'retiring' || action !== RETIRED)
  if (left !== undefined) return `according to the audit trail it ${LEFT[left]}: its row was put back`
  const { kid, private_encrypted: bytes, encryption_key_id: encryptionKeyId } = row
  if (!bytes || encryptionKeyId === null) {
    return acceptUnproven ? undefined : 'it has no private key, which would prove that Mintmark created it'
  }
  try {
    const privateKey = importPrivateKey(await encryption.decrypt(kid, { encryptionKeyId, bytes }))
    return isKeyPair(privateKey, { publicJwk: row.public_jwk })
      ? undefined
      : 'its private key belongs to another key'
  } catch (error) {
    if (error instanceof KeyDecryptionError) return error.message
    throw error
  }
}
