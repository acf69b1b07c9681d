import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import type { Membership, ObjectName, SetKind, SetObject } from './set-object.ts'

const COLUMNS = {
  tier: 'tier',
  model: 'model',
  adapter: 'model',
  tenant: 'tenant_id',
  key: 'key_id',
  'identity-provider': 'provider_id',
  'usage-reporter': 'reporter_id',
} as const satisfies Record<SetKind, string>

const selectObjects = (db: Handle) =>
  db
    .selectFrom('set_objects')
    .select(['seq', 'set_name', 'kind', 'name', 'object_id', 'created_by_set', 'created_by', 'created_at'])

type Row = Awaited<ReturnType<ReturnType<typeof selectObjects>['executeTakeFirstOrThrow']>>

const toObject = (row: Row): SetObject => ({
  set: row.set_name,
  kind: row.kind as SetKind,
  name: row.name,
  id: row.object_id,
  createdBySet: row.created_by_set,
  createdBy: row.created_by,
  createdAt: row.created_at,
})

export async function listObjects(
  db: Handle,
  set: string | undefined,
  { limit, after }: PageRequest,
): Promise<Page<SetObject>> {
  const rows = await selectObjects(db)
    .$if(set !== undefined, query => query.where('set_name', '=', set as string))
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toObject)
}

/** Locks the row until the end of the transaction. */
export async function lockObject(trx: Handle, { kind, id }: ObjectName): Promise<SetObject | undefined> {
  const row = await selectObjects(trx)
    .where(COLUMNS[kind], '=', id)
    .where('kind', '=', kind)
    .forUpdate()
    .executeTakeFirst()
  return row && toObject(row)
}

/** The object with this name in the set. */
export async function findNamed(
  db: Handle,
  kind: SetKind,
  { set, name }: Membership,
): Promise<SetObject | undefined> {
  const row = await selectObjects(db)
    .where('set_name', '=', set)
    .where('kind', '=', kind)
    .where('name', '=', name)
    .executeTakeFirst()
  return row && toObject(row)
}

export async function insertObject(trx: Handle, object: Omit<SetObject, 'createdAt'>): Promise<void> {
  const { set: set_name, kind, name, id, createdBySet: created_by_set, createdBy: created_by } = object
  await trx
    .insertInto('set_objects')
    .values({ set_name, kind, name, [COLUMNS[kind]]: id, created_by_set, created_by })
    .execute()
}

export async function renameObject(trx: Handle, { kind, id }: ObjectName, name: string): Promise<void> {
  await trx.updateTable('set_objects').set({ name }).where(COLUMNS[kind], '=', id).execute()
}

/** Keeps others from renaming a set of this name, or to it, until the end of the transaction, and counts its objects. */
export async function lockSet(trx: Handle, set: string): Promise<number> {
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${`mintmark set ${set}`}, 0))`.execute(trx)
  const rows = await trx.selectFrom('set_objects').select('seq').where('set_name', '=', set).execute()
  return rows.length
}

export async function renameSet(trx: Handle, from: string, to: string): Promise<void> {
  await trx.updateTable('set_objects').set({ set_name: to }).where('set_name', '=', from).execute()
}

export async function deleteObject(trx: Handle, { kind, id }: ObjectName): Promise<void> {
  await trx.deleteFrom('set_objects').where(COLUMNS[kind], '=', id).execute()
}
