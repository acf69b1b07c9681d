import { sql } from 'kysely'
import { countOf } from '../database/count.ts'
import type { Handle } from '../database/database.ts'
import { isUsableSecret } from './key-state-repository.ts'

/** A secret that was added to an existing key by rotation. */
export interface AddedSecret {
  id: string
  keyId: string
  tenantId: string
}

/** Usable ones of unrevoked keys that one of these administrators added, newest first. */
export async function findAddedSecrets(
  db: Handle,
  creators: readonly string[],
  most: number,
): Promise<AddedSecret[]> {
  const rows = await added(db, creators).orderBy('s.seq', 'desc').limit(most).execute()
  return rows.map(({ id, key_id: keyId, tenant_id: tenantId }) => ({ id, keyId, tenantId }))
}

/** Stops counting at `most`. */
export async function countAddedSecrets(
  db: Handle,
  creators: readonly string[],
  most: number,
): Promise<number> {
  return await countOf(db, added(db, creators).limit(most))
}

/** In the form of the index api_key_secrets_added_by. */
const added = (db: Handle, creators: readonly string[]) =>
  db
    .selectFrom('api_key_secrets as s')
    .innerJoin('api_keys as k', 'k.id', 's.key_id')
    .select(['s.id', 's.key_id', 'k.tenant_id'])
    .where(sql<boolean>`s.by_rotation`)
    .where('s.created_by', 'in', [...creators])
    .where(isUsableSecret('s'))
    .where('k.revoked_at', 'is', null)
