import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { grantedNames, replaceGrants } from '../tenants/grant-repository.ts'
import { columnsOf, fromColumns, toColumns } from '../tenants/setting-columns.ts'
import type { ApiKey, ApiKeySecret } from './api-key.ts'
import { restrictImported } from './imported/imported-client-repository.ts'
import type { ImportedScheme } from './imported/imported-hash.ts'
import { deleteProofs } from './imported/secret-proof-repository.ts'
import type { KeyDigest } from './key-digest.ts'
import { type ApiKeySettings, KEY_SETTINGS } from './key-settings.ts'
import { isUsable } from './key-state-repository.ts'

/** More rotations than a key has. What is forged is newer. */
const MOST_SECRETS = 1_000

const keyId = sql.ref('api_keys.id')

interface SecretRow {
  id: string
  created_by: string | null
  created_at: string
  ends_at: string | null
  revoked_at: string | null
  last_used_at: string | null
  confirm_by: string | null
  client_id: string | null
  scheme: ImportedScheme | null
}

export function selectKeys(db: Handle) {
  return db
    .selectFrom('api_keys')
    .select(['id', 'seq', 'tenant_id', 'models_limited', 'adapters_limited'])
    .select(columnsOf(KEY_SETTINGS))
    .select(['disabled_at', 'revoked_at', 'revoked_reason', 'created_by', 'created_at', 'updated_at'])
    .select([
      grantedNames('key', keyId, 'model').as('models'),
      grantedNames('key', keyId, 'adapter').as('adapters'),
      sql<SecretRow[]>`coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', s.id, 'created_by', s.created_by, 'created_at', s.created_at,
          'ends_at', s.ends_at, 'revoked_at', s.revoked_at, 'last_used_at', s.last_used_at, 'confirm_by', s.confirm_by,
          'client_id', s.client_id, 'scheme', s.scheme) ORDER BY s.seq DESC)
        FROM (SELECT id, seq, created_by, created_at, ends_at, revoked_at, last_used_at, client_id, scheme, confirm_by
          FROM api_key_secrets LEFT JOIN pending_secrets ON secret_id = id WHERE key_id = ${keyId} ORDER BY seq LIMIT ${MOST_SECRETS}) AS s), '[]')`.as(
        'secrets',
      ),
    ])
}

type Row = Awaited<ReturnType<ReturnType<typeof selectKeys>['executeTakeFirstOrThrow']>>

const date = (text: string | null) => (text === null ? null : new Date(text))

const toSecret = (row: SecretRow): ApiKeySecret => ({
  id: row.id,
  createdBy: row.created_by,
  createdAt: new Date(row.created_at),
  endsAt: date(row.ends_at),
  revokedAt: date(row.revoked_at),
  lastUsedAt: date(row.last_used_at),
  confirmBy: date(row.confirm_by),
  imported:
    row.client_id !== null && row.scheme !== null ? { clientId: row.client_id, scheme: row.scheme } : null,
})

export const toApiKey = (row: Row): ApiKey => ({
  id: row.id,
  tenantId: row.tenant_id,
  ...fromColumns(KEY_SETTINGS, row),
  models: row.models_limited ? row.models : null,
  adapters: row.adapters_limited ? row.adapters : null,
  disabledAt: row.disabled_at,
  revokedAt: row.revoked_at,
  revokedReason: row.revoked_reason,
  createdBy: row.created_by,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  secrets: row.secrets.map(toSecret),
})

export async function findApiKey(db: Handle, id: string): Promise<ApiKey | undefined> {
  const row = await selectKeys(db).where('id', '=', id).executeTakeFirst()
  return row && toApiKey(row)
}

/** In any order. */
export async function findApiKeys(db: Handle, ids: readonly string[]): Promise<ApiKey[]> {
  if (ids.length === 0) return []
  return (await selectKeys(db).where('id', 'in', ids).execute()).map(toApiKey)
}

/** Locks the row until the end of the transaction. `now`: the database time at the lock, in epoch milliseconds. */
export async function lockApiKey(trx: Handle, id: string): Promise<{ key: ApiKey; now: number } | undefined> {
  const locked = await trx
    .selectFrom('api_keys')
    .select('id')
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst()
  if (!locked) return undefined
  // Read after the lock was granted, so that the secrets are those of the latest commit.
  const key = await findApiKey(trx, id)
  return key && { key, now: await databaseNow(trx) }
}

/** Locks the rows until the end of the transaction, newest first, as lists are. */
export async function lockApiKeys(trx: Handle, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await trx
    .selectFrom('api_keys')
    .select('id')
    .where('id', 'in', [...ids])
    .orderBy('seq', 'desc')
    .forUpdate()
    .execute()
}

/** The key of the secret with one of these digests; not counted as a use. */
export async function findSecretOwner(
  db: Handle,
  digests: readonly KeyDigest[],
): Promise<{ keyId: string; secretId: string } | undefined> {
  const row = await db
    .selectFrom('api_key_secrets')
    .select(['id', 'key_id'])
    .where(
      'digest',
      'in',
      digests.map(({ digest }) => digest),
    )
    .executeTakeFirst()
  return row && { keyId: row.key_id, secretId: row.id }
}

/** Daily counts of a key by UTC day and outcome, newest first; `days` includes today. */
export async function listUsage(
  db: Handle,
  id: string,
  days: number,
): Promise<{ day: string; outcome: string; count: number }[]> {
  const { rows } = await sql<{ day: string; outcome: string; count: string }>`
    SELECT day::text, outcome, count FROM key_usage
    WHERE key_id = ${id} AND day > (now() AT TIME ZONE 'UTC')::date - ${days}::int
    ORDER BY key_usage.day DESC, outcome`.execute(db)
  return rows.map(row => ({ ...row, count: Number(row.count) }))
}

/**
 * Number of keys of a tenant, and of those that are neither revoked nor expired; disabled keys count as live, because
 * they can be enabled again.
 */
export async function countKeys(db: Handle, tenantId: string): Promise<{ keys: number; liveKeys: number }> {
  const { keys, live } = await db
    .selectFrom('api_keys')
    .select(eb => [
      eb.fn.countAll<string>().as('keys'),
      eb.fn.countAll<string>().filterWhere(isUsable('api_keys')).as('live'),
    ])
    .where('tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow()
  return { keys: Number(keys), liveKeys: Number(live) }
}

export async function insertApiKeys(
  trx: Handle,
  keys: readonly (Pick<ApiKey, 'id' | 'tenantId' | 'createdBy'> & { settings: ApiKeySettings })[],
): Promise<void> {
  const rows = keys.map(({ id, tenantId, createdBy, settings }) => ({
    id,
    tenant_id: tenantId,
    created_by: createdBy,
    ...columns(settings),
  }))
  await trx.insertInto('api_keys').values(rows).execute()
  for (const { id, settings } of keys) {
    const granted = [...(settings.models ?? []), ...(settings.adapters ?? [])]
    if (granted.length > 0) await replaceGrants(trx, 'key', id, granted)
  }
}

export async function updateApiKey(trx: Handle, id: string, settings: ApiKeySettings): Promise<void> {
  await setColumns(trx, id, columns(settings))
  await replaceGrants(trx, 'key', id, [...(settings.models ?? []), ...(settings.adapters ?? [])])
}

export async function setDisabled(trx: Handle, id: string, disabled: boolean): Promise<void> {
  await setColumns(trx, id, { disabled_at: disabled ? sql<Date>`clock_timestamp()` : null })
}

async function setColumns(trx: Handle, id: string, set: object): Promise<void> {
  await trx
    .updateTable('api_keys')
    .set({ ...set, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .execute()
}

export async function insertSecret(
  trx: Handle,
  secret: KeyDigest & { id: string; keyId: string; createdBy: string; byRotation: boolean },
): Promise<void> {
  const { id, keyId, createdBy: created_by, byRotation: by_rotation, digest, pepperId: pepper_id } = secret
  await trx
    .insertInto('api_key_secrets')
    .values({ id, key_id: keyId, created_by, by_rotation, digest, pepper_id })
    .execute()
}

/** Sets the end of the secret to `endsAt`, unless it ends earlier. */
export async function setSecretEnd(
  trx: Handle,
  seals: RowSeals,
  { id, imported }: ApiKeySecret,
  endsAt: Date,
): Promise<void> {
  if (imported) return restrictImported(trx, seals, id, { endsAt })
  const ends = sql<Date>`least(ends_at, ${endsAt})`
  await trx.updateTable('api_key_secrets').set({ ends_at: ends }).where('id', '=', id).execute()
}

/** Revokes a secret; an imported one is sealed again. */
export async function setSecretRevoked(
  trx: Handle,
  seals: RowSeals,
  { id, imported }: ApiKeySecret,
): Promise<void> {
  if (!imported) return setSecretsRevoked(trx, [id])
  await deleteProofs(trx, [id])
  await restrictImported(trx, seals, id, 'revoke')
}

/** Revokes secrets that were not imported. */
export async function setSecretsRevoked(trx: Handle, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await trx
    .updateTable('api_key_secrets')
    .set({ revoked_at: sql<Date>`clock_timestamp()` })
    .where('id', 'in', [...ids])
    .execute()
}

function columns(settings: ApiKeySettings) {
  return {
    ...toColumns(KEY_SETTINGS, settings),
    models_limited: settings.models !== null,
    adapters_limited: settings.adapters !== null,
  }
}
