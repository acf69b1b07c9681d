import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/** Number of objects under a pepper or encryption key, by its id. */
export type UseById = Record<string, number>

/** An object, and the pepper that its digest is stored under. */
export interface OnPepper {
  id: string
  pepper: string
}

/** What still depends on other peppers. Those of keys are found by the list of keys. */
export interface PepperUse {
  /** Usable secrets of keys, active admin tokens, usage reporters and seals, by the pepper. */
  counts: UseById
  adminTokens: readonly OnPepper[]
  usageReporters: readonly OnPepper[]
}

/**
 * Finds what is stored under other peppers than this one. Injected, because the rooms that store digests are above this one.
 */
export type FindOnOtherPeppers = (db: Handle, current: string) => Promise<PepperUse>

/** Whether a usable credential is stored under this pepper. */
export type IsPepperInUse = (db: Handle, id: string) => Promise<boolean>

/** Rows with a seal that may be in use, and the text that says what it was made with: `v1:<encryption key>:<pepper>`. */
const sealedRows = sql`(
  SELECT kid AS row_id, sealed_with FROM signing_keys WHERE state <> 'removed' AND sealed_with IS NOT NULL
  UNION ALL
  SELECT id, sealed_with FROM api_key_secrets
  WHERE client_id IS NOT NULL AND revoked_at IS NULL AND sealed_with IS NOT NULL
  UNION ALL
  SELECT id, sealed_with FROM identity_providers
  UNION ALL
  SELECT id, sealed_with FROM key_credentials)`
const encryptionKeyOfSeal = sql`split_part(sealed_with, ':', 2)`
const pepperOfSeal = sql`split_part(sealed_with, ':', 3)`

/** A signing key counts once, whether its private key, its seal or both depend on the encryption key. */
const encryptionKeyUses = sql`(
  SELECT kid AS row_id, encryption_key_id AS id FROM signing_keys WHERE encryption_key_id IS NOT NULL
  UNION
  SELECT row_id, ${encryptionKeyOfSeal} FROM ${sealedRows} AS sealed)`
const pepperUses = sql`(SELECT row_id, ${pepperOfSeal} AS id FROM ${sealedRows} AS sealed)`

/** Number of rows that depend on another encryption key than this one. */
export const rowsOnOtherEncryptionKeys = (db: Handle, current: string): Promise<UseById> =>
  countOnOthers(db, encryptionKeyUses, current)

/** Number of seals made with another pepper than this one. */
export const sealsOnOtherPeppers = (db: Handle, current: string): Promise<UseById> =>
  countOnOthers(db, pepperUses, current)

export const isEncryptionKeyInUse = (db: Handle, id: string): Promise<boolean> =>
  isUsed(db, encryptionKeyUses, id)

/** Whether a seal was made with this pepper. */
export const isPepperInSeals: IsPepperInUse = (db, id) => isUsed(db, pepperUses, id)

/** An installation has a few keys. A row that is not genuine may name any. */
const MOST_IDS = 100

async function countOnOthers(db: Handle, uses: RawBuilder<unknown>, current: string): Promise<UseById> {
  const { rows } = await sql<{ id: string; count: number }>`
    SELECT left(id, 64) AS id, count(*)::int AS count FROM ${uses} AS used WHERE id <> ${current}
    GROUP BY left(id, 64) ORDER BY id LIMIT ${MOST_IDS}`.execute(db)
  return Object.fromEntries(rows.map(row => [row.id, row.count]))
}

async function isUsed(db: Handle, uses: RawBuilder<unknown>, id: string): Promise<boolean> {
  const { rows } = await sql<{ used: boolean }>`
    SELECT EXISTS (SELECT FROM ${uses} AS used WHERE id = ${id}) AS used`.execute(db)
  return rows[0]?.used ?? false
}
