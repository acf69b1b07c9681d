import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import { type Limits, toLimits } from './limits.ts'
import type { Catalogue } from './rights.ts'
import type { Tier, TierSettings } from './tier.ts'

const COLUMNS = ['name', 'seq', 'priority', 'description', 'limits', 'created_at', 'updated_at'] as const

interface Row {
  name: string
  priority: number
  description: string
  limits: Limits
  created_at: Date
  updated_at: Date
}

const toTier = (row: Row): Tier => ({
  name: row.name,
  priority: row.priority,
  description: row.description,
  limits: toLimits(row.limits),
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

const columns = ({ priority, description, limits }: TierSettings) => ({
  priority,
  description,
  limits: JSON.stringify(limits),
})

export async function insertTier(trx: Handle, tier: TierSettings): Promise<Tier> {
  const values = { name: tier.name, ...columns(tier) }
  return toTier(await trx.insertInto('tiers').values(values).returning(COLUMNS).executeTakeFirstOrThrow())
}

export async function updateTier(trx: Handle, tier: TierSettings): Promise<Tier> {
  const { name } = tier
  const set = { ...columns(tier), updated_at: sql<Date>`now()` }
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

/** Priorities and limits by tier name, for rights. */
export async function tierRights(db: Handle): Promise<Pick<Catalogue, 'priorities' | 'tierLimits'>> {
  const rows = await db.selectFrom('tiers').select(['name', 'priority', 'limits']).execute()
  return {
    priorities: new Map(rows.map(row => [row.name, row.priority])),
    tierLimits: new Map(rows.map(row => [row.name, toLimits(row.limits)])),
  }
}
