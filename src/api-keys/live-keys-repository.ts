import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { isUsable } from './key-state-repository.ts'

/** Number of the tenant's keys that are neither revoked nor expired, disabled ones included; at most `most`. */
export async function countLiveKeys(db: Handle, tenantId: string, most: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`SELECT count(*)::int AS count FROM (
    SELECT FROM api_keys AS k WHERE k.tenant_id = ${tenantId} AND ${isUsable('k')} LIMIT ${most}) AS bounded`.execute(
    db,
  )
  return rows[0]?.count ?? 0
}

/**
 * Until the end of the transaction no other one counts the keys of this tenant under the same lock. Keys are still
 * exchanged, changed and revoked.
 */
export async function lockKeyCount(trx: Handle, tenantId: string): Promise<void> {
  await trx.selectFrom('tenants').select('id').where('id', '=', tenantId).forNoKeyUpdate().execute()
}
