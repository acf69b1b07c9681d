import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import { grantedNames, replaceGrants } from './grant-repository.ts'
import { columnsOf, fromColumns, toColumns } from './setting-columns.ts'
import type { Tenant } from './tenant.ts'
import { TENANT_SETTINGS, type TenantSettings } from './tenant-settings.ts'
import { revokeTokensOfTenant } from './token-epoch-repository.ts'

const tenantId = sql.ref('tenants.id')

function selectTenants(db: Handle) {
  return db
    .selectFrom('tenants')
    .select(['id', 'seq', 'models_limited', 'suspended_at', 'created_at', 'updated_at'])
    .select(columnsOf(TENANT_SETTINGS))
    .select([
      sql<string[]>`coalesce((SELECT array_agg(tier ORDER BY position) FROM tenant_tiers
        WHERE tenant_id = ${tenantId}), '{}')`.as('allowed_tiers'),
      grantedNames('tenant', tenantId, 'model').as('models'),
      grantedNames('tenant', tenantId, 'adapter').as('adapters'),
    ])
}

type Row = Awaited<ReturnType<ReturnType<typeof selectTenants>['executeTakeFirstOrThrow']>>

const toTenant = (row: Row): Tenant => ({
  id: row.id,
  ...fromColumns(TENANT_SETTINGS, row),
  allowedTiers: row.allowed_tiers,
  models: row.models_limited ? row.models : null,
  adapters: row.adapters,
  suspendedAt: row.suspended_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export async function findTenant(db: Handle, id: string): Promise<Tenant | undefined> {
  const row = await selectTenants(db).where('id', '=', id).executeTakeFirst()
  return row && toTenant(row)
}

export async function findTenants(db: Handle, ids: readonly string[]): Promise<Map<string, Tenant>> {
  if (ids.length === 0) return new Map()
  const rows = await selectTenants(db).where('id', 'in', ids).execute()
  return new Map(rows.map(row => [row.id, toTenant(row)]))
}

/** Locks the row until the end of the transaction. */
export async function lockTenant(trx: Handle, id: string): Promise<Tenant | undefined> {
  await trx.selectFrom('tenants').select('id').where('id', '=', id).forUpdate().executeTakeFirst()
  // Read after the lock was granted, so that the lists are the latest committed ones.
  return findTenant(trx, id)
}

export async function listTenants(
  db: Handle,
  { limit, after }: PageRequest,
  only: string | null,
): Promise<Page<Tenant>> {
  const rows = await selectTenants(db)
    .$if(only !== null, query => query.where('id', '=', only as string))
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toTenant)
}

export async function wasDeleted(db: Handle, id: string): Promise<boolean> {
  const row = await db.selectFrom('deleted_tenants').select('id').where('id', '=', id).executeTakeFirst()
  return row !== undefined
}

export async function insertTenant(trx: Handle, id: string, settings: TenantSettings): Promise<void> {
  await trx
    .insertInto('tenants')
    .values({ id, ...columns(settings) })
    .execute()
  await replaceLists(trx, id, settings)
}

export async function updateTenant(trx: Handle, id: string, settings: TenantSettings): Promise<void> {
  const set = { ...columns(settings), updated_at: sql<Date>`now()` }
  await trx.updateTable('tenants').set(set).where('id', '=', id).execute()
  await replaceLists(trx, id, settings)
}

/** A suspension revokes the issued tokens. */
export async function setSuspended(trx: Handle, id: string, suspended: boolean): Promise<void> {
  if (suspended) await revokeTokensOfTenant(trx, id, 'tenant suspended')
  const set = { suspended_at: suspended ? sql<Date>`now()` : null, updated_at: sql<Date>`now()` }
  await trx.updateTable('tenants').set(set).where('id', '=', id).execute()
}

/** Deletes the tenant with its keys and secrets and ends its issued tokens; its id is recorded and never reused. */
export async function deleteTenant(trx: Handle, id: string): Promise<void> {
  await revokeTokensOfTenant(trx, id, 'tenant deleted')
  await trx.deleteFrom('tenants').where('id', '=', id).execute()
  await trx.insertInto('deleted_tenants').values({ id }).execute()
}

function columns(settings: TenantSettings) {
  return { ...toColumns(TENANT_SETTINGS, settings), models_limited: settings.models !== null }
}

/** The constraint that the tier is an allowed one is checked at commit, so the order of these statements is free. */
async function replaceLists(trx: Handle, id: string, settings: TenantSettings): Promise<void> {
  await trx.deleteFrom('tenant_tiers').where('tenant_id', '=', id).execute()
  const tiers = settings.allowedTiers.map((tier, position) => ({ tenant_id: id, tier, position }))
  if (tiers.length > 0) await trx.insertInto('tenant_tiers').values(tiers).execute()
  await replaceGrants(trx, 'tenant', id, [...(settings.models ?? []), ...settings.adapters])
}
