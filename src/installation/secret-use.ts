import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/** Number of objects under a pepper or encryption key, by its id. */
export type UseById = Record<string, number>

/**
 * Counts what is stored under other peppers than this one. Injected, because the rooms that store digests are above
 * this one.
 */
export type CountOnOtherPeppers = (db: Handle, current: string) => Promise<UseById>

/** Whether a usable credential is stored under this pepper. */
export type IsPepperInUse = (db: Handle, id: string) => Promise<boolean>

/** Number of private signing keys encrypted with another key than this one. */
export async function privateHalvesOnOtherKeys(db: Handle, current: string): Promise<UseById> {
  const rows = await db
    .selectFrom('signing_keys')
    .select(['encryption_key_id', sql<number>`count(*)::int`.as('count')])
    .where('encryption_key_id', '<>', current)
    .groupBy('encryption_key_id')
    .orderBy('encryption_key_id')
    .execute()
  return Object.fromEntries(rows.map(row => [row.encryption_key_id ?? '', row.count]))
}
