import type { Handle } from '../database/database.ts'
import type { ImportedHash } from './imported-hash.ts'

export interface StoredImport extends ImportedHash {
  clientId: string
  keyId: string
  tenantId: string
}

/** The imported clients with these client_ids, including ended and revoked ones. */
export async function findImported(
  db: Handle,
  clientIds: readonly string[],
): Promise<Map<string, StoredImport>> {
  const rows = await db
    .selectFrom('api_key_secrets as s')
    .innerJoin('api_keys as k', 'k.id', 's.key_id')
    .select(['s.client_id', 's.key_id', 'k.tenant_id', 's.scheme', 's.hash'])
    .where('s.client_id', 'in', [...clientIds])
    .execute()
  return new Map(
    rows.flatMap(({ client_id: clientId, key_id: keyId, tenant_id: tenantId, scheme, hash }) =>
      clientId !== null && scheme !== null && hash !== null
        ? [[clientId, { clientId, keyId, tenantId, scheme, hash }] as const]
        : [],
    ),
  )
}

export async function insertImported(
  trx: Handle,
  secrets: readonly (ImportedHash & { id: string; keyId: string; clientId: string; createdBy: string })[],
): Promise<void> {
  const rows = secrets.map(({ id, keyId, clientId, createdBy, scheme, hash }) => ({
    id,
    key_id: keyId,
    client_id: clientId,
    created_by: createdBy,
    scheme,
    hash,
  }))
  await trx.insertInto('api_key_secrets').values(rows).execute()
}
