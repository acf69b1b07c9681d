import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { UseById } from '../installation/secret-use.ts'
import { isUsable, isUsableSecret } from './key-state-repository.ts'

/** Number of usable secrets stored under another pepper than this one. */
export async function secretsOnOtherPeppers(db: Handle, current: string): Promise<UseById> {
  const rows = await usableSecrets(db)
    .select(['pepper_id', sql<number>`count(*)::int`.as('count')])
    .where('pepper_id', '<>', current)
    .groupBy('pepper_id')
    .orderBy('pepper_id')
    .execute()
  return Object.fromEntries(rows.map(row => [row.pepper_id, row.count]))
}

/** Whether a usable secret is stored under this pepper. */
export async function hasSecretsOnPepper(db: Handle, id: string): Promise<boolean> {
  const row = await usableSecrets(db)
    .select('api_key_secrets.id')
    .where('pepper_id', '=', id)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

const usableSecrets = (db: Handle) =>
  db
    .selectFrom('api_key_secrets')
    .innerJoin('api_keys', 'api_keys.id', 'api_key_secrets.key_id')
    .where(isUsable('api_keys'))
    .where(isUsableSecret('api_key_secrets'))
