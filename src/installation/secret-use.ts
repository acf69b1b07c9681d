import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/** How many things were written under a pepper or encryption key, by its id. */
export type UseById = Record<string, number>

/** Secrets that still open something and were stored under another pepper than this one. */
export async function secretsOnOtherPeppers(db: Handle, current: string): Promise<UseById> {
  const rows = await liveSecrets(db)
    .select(['pepper_id', count()])
    .where('pepper_id', '<>', current)
    .groupBy('pepper_id')
    .orderBy('pepper_id')
    .execute()
  return Object.fromEntries(rows.map(row => [row.pepper_id, row.count]))
}

/** Private halves of signing keys that are encrypted with another key than this one. */
export async function privateHalvesOnOtherKeys(db: Handle, current: string): Promise<UseById> {
  const rows = await db
    .selectFrom('signing_keys')
    .select(['encryption_key_id', count()])
    .where('encryption_key_id', '<>', current)
    .groupBy('encryption_key_id')
    .orderBy('encryption_key_id')
    .execute()
  return Object.fromEntries(rows.map(row => [row.encryption_key_id ?? '', row.count]))
}

/** Whether a secret or an admin token that still opens something was stored under this pepper. */
export async function pepperInUse(db: Handle, id: string): Promise<boolean> {
  const secret = await liveSecrets(db)
    .select('api_key_secrets.id')
    .where('pepper_id', '=', id)
    .limit(1)
    .executeTakeFirst()
  if (secret) return true
  const adminToken = await db
    .selectFrom('admin_tokens')
    .select('id')
    .where('pepper_id', '=', id)
    .where('revoked_at', 'is', null)
    .where(notPast('expires_at'))
    .limit(1)
    .executeTakeFirst()
  return adminToken !== undefined
}

const notPast = (column: 'ends_at' | 'expires_at') =>
  sql<boolean>`(${sql.ref(column)} IS NULL OR ${sql.ref(column)} > now())`

function liveSecrets(db: Handle) {
  return db
    .selectFrom('api_key_secrets')
    .innerJoin('api_keys', 'api_keys.id', 'api_key_secrets.key_id')
    .where('api_key_secrets.revoked_at', 'is', null)
    .where('api_keys.revoked_at', 'is', null)
    .where(notPast('ends_at'))
    .where(notPast('expires_at'))
}

const count = () => sql<number>`count(*)::int`.as('count')
