import { countOf } from '../database/count.ts'
import type { Handle } from '../database/database.ts'

/** A credential that was added to an existing key. */
export interface AddedCredential {
  id: string
  keyId: string
  tenantId: string
}

/** Those that one of these administrators added to unrevoked keys of others, newest first. */
export async function findAddedCredentials(
  db: Handle,
  creators: readonly string[],
  most: number,
): Promise<AddedCredential[]> {
  const rows = await added(db, creators).orderBy('c.seq', 'desc').limit(most).execute()
  return rows.map(({ id, key_id: keyId, tenant_id: tenantId }) => ({ id, keyId, tenantId }))
}

/** Stops counting at `most`. */
export async function countAddedCredentials(
  db: Handle,
  creators: readonly string[],
  most: number,
): Promise<number> {
  return await countOf(db, added(db, creators).limit(most))
}

/** In the form of the index key_credentials_created_by. Keys that they made are revoked as a whole. */
const added = (db: Handle, creators: readonly string[]) =>
  db
    .selectFrom('key_credentials as c')
    .innerJoin('api_keys as k', 'k.id', 'c.key_id')
    .select(['c.id', 'c.key_id', 'k.tenant_id'])
    .where('c.created_by', 'in', [...creators])
    .where('k.revoked_at', 'is', null)
    .where(eb => eb.or([eb('k.created_by', 'is', null), eb('k.created_by', 'not in', [...creators])]))
