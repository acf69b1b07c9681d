import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import type { Model } from './model.ts'

const COLUMNS = [
  'name',
  'seq',
  'kind',
  'base_model',
  'max_model_len',
  'description',
  'created_at',
  'updated_at',
] as const

interface Row {
  name: string
  kind: 'model' | 'adapter'
  base_model: string | null
  max_model_len: number | null
  description: string
  created_at: Date
  updated_at: Date
}

const toModel = (row: Row): Model => ({
  name: row.name,
  kind: row.kind,
  baseModel: row.base_model,
  maxModelLen: row.max_model_len,
  description: row.description,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export type ModelSettings = Pick<Model, 'name' | 'kind' | 'baseModel' | 'maxModelLen' | 'description'>

export async function findModel(db: Handle, name: string): Promise<Model | undefined> {
  const row = await db.selectFrom('models').select(COLUMNS).where('name', '=', name).executeTakeFirst()
  return row && toModel(row)
}

/**
 * Blocks other registrations until the end of the transaction, so that the total over all models stays correct. Grants
 * are not blocked: their foreign keys take row locks only.
 */
export async function lockModels(trx: Handle): Promise<void> {
  await sql`LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE`.execute(trx)
}

export async function listModels(
  db: Handle,
  kind: Model['kind'],
  { limit, after }: PageRequest,
): Promise<Page<Model>> {
  const rows = await db
    .selectFrom('models')
    .select(COLUMNS)
    .where('kind', '=', kind)
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toModel)
}

/** Names of all base models, oldest first: the meaning of `models: null`. */
export async function registeredModels(db: Handle): Promise<string[]> {
  const rows = await db
    .selectFrom('models')
    .select('name')
    .where('kind', '=', 'model')
    .orderBy('seq')
    .execute()
  return rows.map(row => row.name)
}

/** The subset of `names` that are registered as this kind. */
export async function knownModels(
  db: Handle,
  kind: Model['kind'],
  names: readonly string[],
): Promise<Set<string>> {
  if (names.length === 0) return new Set()
  const rows = await db
    .selectFrom('models')
    .select('name')
    .where('kind', '=', kind)
    .where('name', 'in', names)
    .execute()
  return new Set(rows.map(row => row.name))
}

export async function insertModel(trx: Handle, model: ModelSettings): Promise<Model> {
  const { name, kind, baseModel, maxModelLen, description } = model
  const values = { name, kind, base_model: baseModel, max_model_len: maxModelLen, description }
  return toModel(await trx.insertInto('models').values(values).returning(COLUMNS).executeTakeFirstOrThrow())
}

export async function updateModel(trx: Handle, model: ModelSettings): Promise<Model> {
  const { baseModel, maxModelLen, description } = model
  const set = { base_model: baseModel, max_model_len: maxModelLen, description, updated_at: sql<Date>`now()` }
  const query = trx.updateTable('models').set(set).where('name', '=', model.name).returning(COLUMNS)
  return toModel(await query.executeTakeFirstOrThrow())
}

/** Fails by foreign key for a model in use. */
export async function deleteModel(trx: Handle, name: string): Promise<void> {
  await trx.deleteFrom('models').where('name', '=', name).execute()
}
