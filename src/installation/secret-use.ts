import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/** How many things were written under a pepper or encryption key, by its id. */
export type UseById = Record<string, number>

/** What was stored under other peppers than this one. Only those who store under peppers know: they are handed in. */
export type CountOnOtherPeppers = (db: Handle, current: string) => Promise<UseById>

/** Whether something that still opens something was stored under this pepper. */
export type IsPepperInUse = (db: Handle, id: string) => Promise<boolean>

/** Private halves of signing keys that are encrypted with another key than this one. */
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
