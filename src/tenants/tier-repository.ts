import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import type { Tier } from './tier.ts'

const COLUMNS = ['name', 'seq', 'priority', 'description', 'created_at', 'updated_at'] as const

interface Row {
  name: string
  priority: number
  description: string
  created_at: Date
  updated_at: Date
}

const toTier = (row: Row): Tier => ({
  name: row.name,
  priority: row.priority,
  description: row.description,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export async function findTier(db: Handle, name: string): Promise<Tier | undefined> {
  const row = await db.selectFrom('tiers').select(COLUMNS).where('name', '=', name).executeTakeFirst()
  return row && toTier(row)
}

/** Locks the row until the end of the transaction. */
export async function lockTier(trx: Handle, name: string): Promise<Tier | undefined> {
  const row = await trx
    .selectFrom('tiers')
    .select(COLUMNS)
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirst()
  return row && toTier(row)
}

export async function listTiers(db: Handle, { limit, after }: PageRequest): Promise<Page<Tier>> {
  const rows = await db
    .selectFrom('tiers')
    .select(COLUMNS)
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toTier)
}

export async function insertTier(
  trx: Handle,
  tier: Pick<Tier, 'name' | 'priority' | 'description'>,
): Promise<Tier> {
  return toTier(await trx.insertInto('tiers').values(tier).returning(COLUMNS).executeTakeFirstOrThrow())
}

export async function updateTier(
  trx: Handle,
  tier: Pick<Tier, 'name' | 'priority' | 'description'>,
): Promise<Tier> {
  const { name, priority, description } = tier
  const set = { priority, description, updated_at: sql<Date>`now()` }
  return toTier(
    await trx
      .updateTable('tiers')
      .set(set)
      .where('name', '=', name)
      .returning(COLUMNS)
      .executeTakeFirstOrThrow(),
  )
}

/** Fails by foreign key for a tier in use. */
export async function deleteTier(trx: Handle, name: string): Promise<void> {
  await trx.deleteFrom('tiers').where('name', '=', name).execute()
}

/** Priority by tier name, for rights. */
export async function tierPriorities(db: Handle): Promise<Map<string, number>> {
  const rows = await db.selectFrom('tiers').select(['name', 'priority']).execute()
  return new Map(rows.map(row => [row.name, row.priority]))
}
