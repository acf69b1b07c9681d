import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { isUsableSecret } from './key-state-repository.ts'

/** A new secret of a key whose older ones stay valid until it is confirmed or used. */
export interface PendingSecret {
  secretId: string
  confirmBy: Date
  /** How long the older secrets stay valid after the confirmation. */
  overlapSeconds: number
}

/** Longer than the last use of a secret waits to be written. */
const LAST_USE_WRITTEN = sql`interval '1 minute'`
const MOST_AT_ONCE = 100

export async function insertPending(trx: Handle, pending: PendingSecret): Promise<void> {
  const { secretId: secret_id, confirmBy: confirm_by, overlapSeconds: overlap_seconds } = pending
  await trx.insertInto('pending_secrets').values({ secret_id, confirm_by, overlap_seconds }).execute()
}

export async function findPending(db: Handle, secretId: string): Promise<PendingSecret | undefined> {
  const row = await db
    .selectFrom('pending_secrets')
    .select(['confirm_by', 'overlap_seconds'])
    .where('secret_id', '=', secretId)
    .executeTakeFirst()
  return row && { secretId, confirmBy: row.confirm_by, overlapSeconds: row.overlap_seconds }
}

export async function deletePending(trx: Handle, secretId: string): Promise<void> {
  await trx.deleteFrom('pending_secrets').where('secret_id', '=', secretId).execute()
}

/** A pending secret that has been used, or whose time is over. */
export interface DueSecret {
  id: string
  keyId: string
  used: boolean
}

/** At most a hundred. Secrets that ended otherwise are due as well, so that their rows go. */
export async function findDue(db: Handle): Promise<DueSecret[]> {
  const rows = await db
    .selectFrom('pending_secrets as p')
    .innerJoin('api_key_secrets as s', 's.id', 'p.secret_id')
    .select(['s.id', 's.key_id', 's.last_used_at'])
    .where(eb =>
      eb.or([
        eb('s.last_used_at', 'is not', null),
        eb.not(isUsableSecret('s')),
        sql<boolean>`p.confirm_by < now() - ${LAST_USE_WRITTEN}`,
      ]),
    )
    .limit(MOST_AT_ONCE)
    .execute()
  return rows.map(row => ({ id: row.id, keyId: row.key_id, used: row.last_used_at !== null }))
}
