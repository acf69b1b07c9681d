import type { Handle } from '../database/database.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { KEY_CREDENTIAL } from './identity-seals.ts'
import { type CredentialSettings, type KeyCredential, MOST_CREDENTIALS } from './key-credential.ts'

const COLUMNS = [
  'id',
  'key_id',
  'provider_id',
  'definition',
  'created_by',
  'created_at',
  'last_used_at',
  'sealed_with',
  'seal',
] as const

interface CredentialRow {
  id: string
  key_id: string
  provider_id: string | null
  definition: string
  created_by: string | null
  created_at: Date
  last_used_at: Date | null
  sealed_with: string
  seal: Buffer
}

const toCredential = (row: CredentialRow): KeyCredential => ({
  id: row.id,
  keyId: row.key_id,
  settings: JSON.parse(row.definition) as CredentialSettings,
  createdBy: row.created_by,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
})

/** More than a key has. */
const MOST_READ = 2 * MOST_CREDENTIALS

/** Of one key, newest first. */
export async function credentialsOf(db: Handle, keyId: string): Promise<KeyCredential[]> {
  const rows = await db
    .selectFrom('key_credentials')
    .select(COLUMNS)
    .where('key_id', '=', keyId)
    .orderBy('seq', 'desc')
    .limit(MOST_READ)
    .execute()
  return rows.map(toCredential)
}

/** Number of credentials of a tenant; stops counting at `most`. */
export async function countCredentials(db: Handle, tenantId: string, most: number): Promise<number> {
  const rows = await db
    .selectFrom('key_credentials')
    .innerJoin('api_keys', 'api_keys.id', 'key_credentials.key_id')
    .select('key_credentials.id')
    .where('api_keys.tenant_id', '=', tenantId)
    .limit(most)
    .execute()
  return rows.length
}

/** A page of those of a provider, with the tenants of their keys, ordered by id. */
export async function credentialsUnder(
  db: Handle,
  providerId: string,
  { after, limit }: { after: string; limit: number },
): Promise<{ credential: KeyCredential; tenantId: string }[]> {
  const rows = await db
    .selectFrom('key_credentials')
    .innerJoin('api_keys', 'api_keys.id', 'key_credentials.key_id')
    .select(COLUMNS.map(column => `key_credentials.${column}` as const))
    .select('api_keys.tenant_id')
    .where('provider_id', '=', providerId)
    .where('key_credentials.id', '>', after)
    .orderBy('key_credentials.id')
    .limit(limit)
    .execute()
  return rows.map(row => ({ credential: toCredential(row), tenantId: row.tenant_id }))
}

export async function insertCredential(
  trx: Handle,
  seals: RowSeals,
  credential: { id: string; keyId: string; createdBy: string; settings: CredentialSettings },
): Promise<KeyCredential> {
  const { id, keyId: key_id, createdBy: created_by, settings } = credential
  const definition = JSON.stringify(settings)
  const provider_id = settings.type === 'federated' ? settings.providerId : null
  const { sealedWith: sealed_with, seal } = seals.seal(KEY_CREDENTIAL, {
    id,
    key_id,
    provider_id,
    definition,
  })
  const row = await trx
    .insertInto('key_credentials')
    .values({ id, key_id, provider_id, definition, created_by, sealed_with, seal })
    .returning(COLUMNS)
    .executeTakeFirstOrThrow()
  return toCredential(row)
}

/** Remembers that it existed: a database that is restored to an older state does not bring it back. */
export async function deleteCredential(trx: Handle, keyId: string, id: string): Promise<void> {
  await trx.deleteFrom('key_credentials').where('id', '=', id).execute()
  await trx.insertInto('deleted_identities').values({ id, owner: keyId }).execute()
}
