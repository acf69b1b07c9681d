import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { readInstallation } from '../installation/installation.ts'
import type { Policy } from '../installation/policy.ts'
import type { RecordedIds, RowFault, RowSeals } from '../installation/row-seals.ts'
import type { EncryptedKey } from './key-encryption.ts'
import { hasId, publishedRows, selectRows } from './published-key-repository.ts'
import type { GeneratedKey, SigningKey } from './signing-key.ts'
import { SIGNING_KEY, type SigningKeyRow, sealedValues, signingKeyFault } from './signing-key-seal.ts'
import { supersededKids } from './superseded.ts'

/** A published key with its encrypted private key. */
export type StoredKey = SigningKey & { encrypted: EncryptedKey | null }

/** A published row that is not genuine. It is not used. */
export interface RejectedKey {
  kid: string
  fault: RowFault
}

/** The published keys with a valid seal, the other published rows, and the policy. */
export interface ReadKeys {
  keys: StoredKey[]
  rejected: RejectedKey[]
  /** There are more rows than were read, and genuine ones may be among them. */
  crowded: boolean
  policy: Policy
}

const toStoredKey = (row: SigningKeyRow): StoredKey => ({
  kid: row.kid,
  alg: row.alg,
  state: row.state,
  publicJwk: row.public_jwk,
  publishedAt: row.published_at.getTime(),
  activatesAt: row.activates_at?.getTime() ?? null,
  retiresAt: row.retires_at?.getTime() ?? null,
  forgetsAt: row.forgets_at?.getTime() ?? null,
  held: row.held,
  encrypted:
    row.private_encrypted && row.encryption_key_id !== null
      ? { bytes: row.private_encrypted, encryptionKeyId: row.encryption_key_id }
      : null,
})

/**
 * The only way to read signing keys: rows without a valid seal, and older ones that were put back, are named, and never
 * returned as keys. `known`: the kids that this process has verified before.
 */
export async function readKeys(
  db: Handle,
  seals: RowSeals,
  known: readonly string[] = [],
): Promise<ReadKeys> {
  const { rows, crowded } = await publishedRows(db, known)
  const { policy, recorded } = await readInstallation(db)
  return { ...(await genuineKeys(rows, seals, recorded)), crowded, policy }
}

/** The genuine ones of these rows, and the others by name. */
export async function genuineKeys(
  rows: readonly SigningKeyRow[],
  seals: RowSeals,
  recorded: RecordedIds,
): Promise<Pick<ReadKeys, 'keys' | 'rejected'>> {
  const keys: StoredKey[] = []
  const rejected: RejectedKey[] = []
  for (const row of rows) {
    const fault = await signingKeyFault(row, seals, recorded)
    if (fault) rejected.push({ kid: row.kid, fault })
    else keys.push(toStoredKey(row))
  }
  const superseded = supersededKids(keys)
  for (const kid of superseded) rejected.push({ kid, fault: 'superseded' })
  return { keys: keys.filter(({ kid }) => !superseded.has(kid)), rejected }
}

/** Makes every other process that would change signing keys wait until the end of the transaction. */
export async function lockSigningKeys(trx: Handle): Promise<{ now: number }> {
  await sql`SELECT FROM installation FOR UPDATE`.execute(trx)
  return { now: await databaseNow(trx) }
}

export async function insertSigningKey(
  trx: Handle,
  seals: RowSeals,
  key: GeneratedKey & {
    state: 'active' | 'standby'
    activatesAt: number | null
    encrypted: EncryptedKey
    now: number
  },
): Promise<void> {
  const row = {
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    public_jwk: key.publicJwk,
    private_encrypted: key.encrypted.bytes,
    encryption_key_id: key.encrypted.encryptionKeyId,
    published_at: new Date(key.now),
    activates_at: key.activatesAt === null ? null : new Date(key.activatesAt),
    ...NOT_ENDING,
    held: false,
  }
  const values = { ...row, public_jwk: JSON.stringify(row.public_jwk), ...sealColumns(seals, row) }
  await trx.insertInto('signing_keys').values(values).execute()
}

const NOT_ENDING = {
  retires_at: null,
  forgets_at: null,
  removed_at: null,
  revoked_at: null,
  revoked_reason: null,
}

export type KeyChange = Partial<
  Pick<
    SigningKeyRow,
    | 'state'
    | 'activates_at'
    | 'retires_at'
    | 'forgets_at'
    | 'removed_at'
    | 'revoked_at'
    | 'revoked_reason'
    | 'held'
    | 'private_encrypted'
    | 'encryption_key_id'
  >
>

/**
 * Changes a genuine row in one of the states `from`, and seals it again: a row that is not genuine stays untrusted. The
 * condition on the state makes each transition happen only once and only forward.
 *
 * @throws {Error} when the row is not genuine, or in another state.
 */
export async function changeSigningKey(
  trx: Handle,
  seals: RowSeals,
  kid: string,
  from: readonly SigningKey['state'][],
  change: KeyChange | ((row: SigningKeyRow) => KeyChange),
): Promise<void> {
  const row = (await selectRows(trx).where('kid', '=', kid).forUpdate().executeTakeFirst()) as
    | SigningKeyRow
    | undefined
  const fault = row && (await signingKeyFault(row, seals, (await readInstallation(trx)).recorded))
  if (!row || fault || !from.includes(row.state))
    throw new Error(`the signing key ${kid} is ${fault ?? row?.state ?? 'gone'}: it cannot be changed`)
  const set = typeof change === 'function' ? change(row) : change
  const sealed = sealColumns(seals, { ...row, ...set })
  if (row.seal?.equals(sealed.seal)) return
  await trx
    .updateTable('signing_keys')
    .set({ ...set, ...sealed })
    .where('kid', '=', kid)
    .execute()
}

/** Seals a row as it is. The caller has checked that it is genuine. */
export async function sealSigningKey(trx: Handle, seals: RowSeals, row: SigningKeyRow): Promise<void> {
  await trx.updateTable('signing_keys').set(sealColumns(seals, row)).where('kid', '=', row.kid).execute()
}

const sealColumns = (seals: RowSeals, row: Parameters<typeof sealedValues>[0]) => {
  const { sealedWith, seal } = seals.seal(SIGNING_KEY, sealedValues(row))
  return { sealed_with: sealedWith, seal }
}

/** Removes a row that is not genuine, without a seal: a removed row is never used. */
export async function discardRow(trx: Handle, kid: string, now: number, reason: string): Promise<void> {
  const at = new Date(now)
  const set = { state: 'removed' as const, removed_at: at, revoked_at: at, revoked_reason: reason }
  await trx
    .updateTable('signing_keys')
    .set({ ...set, ...WITHOUT_PRIVATE_KEY, sealed_with: null, seal: null })
    .where(hasId(kid))
    .where('state', '<>', 'removed')
    .execute()
}

export const WITHOUT_PRIVATE_KEY = { private_encrypted: null, encryption_key_id: null, forgets_at: null }

/** Whether the key was removed by a revocation. */
export async function isRevoked(db: Handle, kid: string): Promise<boolean> {
  const row = await db
    .selectFrom('signing_keys')
    .select('revoked_at')
    .where('kid', '=', kid)
    .where('state', '=', 'removed')
    .executeTakeFirst()
  return row?.revoked_at !== undefined && row.revoked_at !== null
}
