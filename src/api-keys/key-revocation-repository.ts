import { sql } from 'kysely'
import { countOf } from '../database/count.ts'
import type { Handle } from '../database/database.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { removeGrants } from '../tenants/grant-repository.ts'
import { revokeTokensOfKeys } from '../tenants/token-epoch-repository.ts'
import type { ApiKey } from './api-key.ts'
import { findApiKeys } from './api-key-repository.ts'
import { revokeImportedOf } from './imported/imported-revocation.ts'
import { deleteProofsOfKeys } from './imported/secret-proof-repository.ts'
import type { KeyFilter } from './key-filter.ts'
import { isAmongFirst } from './key-list-repository.ts'

/** Matching keys that are not revoked, newest first; `lock` locks their rows until the end of the transaction. */
export async function findUnrevoked(
  db: Handle,
  filter: KeyFilter,
  { limit, lock }: { limit: number; lock: boolean },
): Promise<ApiKey[]> {
  const rows = await unrevoked(db, filter, limit)
    .orderBy('seq', 'desc')
    .limit(limit)
    .$if(lock, query => query.forUpdate())
    .execute()
  const ids = rows.map(({ id }) => id)
  // Read after the locks were granted, so that they have the latest committed state.
  const keys = new Map((await findApiKeys(db, ids)).map(key => [key.id, key]))
  return ids.flatMap(id => keys.get(id) ?? [])
}

/** Number of matching keys that are not revoked; stops counting at `most`. */
export async function countUnrevoked(db: Handle, filter: KeyFilter, most: number): Promise<number> {
  return await countOf(db, unrevoked(db, filter, most).limit(most))
}

/**
 * Grants of a revoked key are deleted, so that it does not prevent the deletion of a model, adapter or tier. Its imported
 * secrets are revoked with a seal: a key's row has none, and a change of it must not bring them back. Its issued tokens are
 * ended.
 */
export async function setRevoked(
  trx: Handle,
  seals: RowSeals,
  ids: readonly string[],
  reason: string | null,
): Promise<void> {
  if (ids.length === 0) return
  await removeGrants(trx, 'key', ids)
  await deleteProofsOfKeys(trx, ids)
  await revokeImportedOf(trx, seals, ids)
  await revokeTokensOfKeys(trx, ids, reason)
  const now = sql<Date>`clock_timestamp()`
  await trx
    .updateTable('api_keys')
    .set({ revoked_at: now, revoked_reason: reason, tier: null, updated_at: now })
    .where('id', 'in', ids)
    .execute()
}

/** The condition is repeated in the outer query: the key may be revoked while the row lock is awaited. */
const unrevoked = (db: Handle, filter: KeyFilter, limit: number) =>
  db
    .selectFrom('api_keys')
    .select('id')
    .where('revoked_at', 'is', null)
    .where(isAmongFirst({ ...filter, unrevoked: true }, limit, null))
