import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import { Conflict } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { IdentityProvider, ProviderSettings } from './identity-provider.ts'
import { IDENTITY_PROVIDER, providerFault } from './identity-seals.ts'

const COLUMNS = [
  'id',
  'seq',
  'definition',
  'created_by',
  'created_at',
  'updated_at',
  'sealed_with',
  'seal',
] as const

interface ProviderRow {
  id: string
  definition: string
  created_by: string | null
  created_at: Date
  updated_at: Date
  sealed_with: string
  seal: Buffer
}

const toProvider = (row: ProviderRow): IdentityProvider => ({
  ...(JSON.parse(row.definition) as ProviderSettings),
  id: row.id,
  createdBy: row.created_by,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export async function findProvider(db: Handle, id: string): Promise<IdentityProvider | undefined> {
  const row = await db
    .selectFrom('identity_providers')
    .select(COLUMNS)
    .where('id', '=', id)
    .executeTakeFirst()
  return row && toProvider(row)
}

/** Until the end of the transaction no other one changes the row, or inserts a credential that names it. */
export async function lockProvider(trx: Handle, id: string): Promise<IdentityProvider | undefined> {
  const row = await lockRow(trx, id)
  return row && toProvider(row)
}

/**
 * The same, of a row that Mintmark wrote: a change would seal what else is in it.
 * @throws {Conflict} for a row that is not genuine.
 */
export async function lockGenuineProvider(
  trx: Handle,
  seals: RowSeals,
  id: string,
): Promise<IdentityProvider | undefined> {
  const row = await lockRow(trx, id)
  if (row && providerFault(seals, row))
    throw new Conflict(
      'identity_provider_not_genuine',
      'This identity provider was changed in the database, and not by Mintmark. Delete it and create it again.',
    )
  return row && toProvider(row)
}

async function lockRow(trx: Handle, id: string): Promise<ProviderRow | undefined> {
  const query = trx.selectFrom('identity_providers').select(COLUMNS).where('id', '=', id)
  return query.forUpdate().executeTakeFirst()
}

/** Until the end of the transaction no other one inserts or changes a provider: each is compared with all others. */
export async function lockProviders(trx: Handle): Promise<void> {
  await sql`LOCK TABLE identity_providers IN SHARE ROW EXCLUSIVE MODE`.execute(trx)
}

/** Those of an issuer, in any order, at most `limit`. */
export async function providersOfIssuer(
  db: Handle,
  issuer: string,
  limit: number,
): Promise<IdentityProvider[]> {
  const rows = await db
    .selectFrom('identity_providers')
    .select(COLUMNS)
    .where(sql<boolean>`definition::jsonb ->> 'issuer' = ${issuer}`)
    .limit(limit)
    .execute()
  return rows.map(toProvider)
}

/** The number of providers, counted up to `limit`. */
export async function countProviders(db: Handle, limit: number): Promise<number> {
  const some = db.selectFrom('identity_providers').select('id').limit(limit)
  const { count } = await db
    .selectFrom(some.as('some'))
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

export async function listProviders(
  db: Handle,
  { limit, after }: PageRequest,
): Promise<Page<IdentityProvider>> {
  const rows = await db
    .selectFrom('identity_providers')
    .select(COLUMNS)
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toProvider)
}

const sealed = (seals: RowSeals, id: string, settings: ProviderSettings) => {
  const definition = JSON.stringify(settings)
  const { sealedWith: sealed_with, seal } = seals.seal(IDENTITY_PROVIDER, { id, definition })
  return { definition, sealed_with, seal }
}

export async function insertProvider(
  trx: Handle,
  seals: RowSeals,
  { id, createdBy, settings }: { id: string; createdBy: string; settings: ProviderSettings },
): Promise<IdentityProvider> {
  const values = { id, created_by: createdBy, ...sealed(seals, id, settings) }
  const row = await trx
    .insertInto('identity_providers')
    .values(values)
    .returning(COLUMNS)
    .executeTakeFirstOrThrow()
  return toProvider(row)
}

export async function updateProvider(
  trx: Handle,
  seals: RowSeals,
  id: string,
  settings: ProviderSettings,
): Promise<IdentityProvider> {
  const row = await trx
    .updateTable('identity_providers')
    .set({ ...sealed(seals, id, settings), updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .returning(COLUMNS)
    .executeTakeFirstOrThrow()
  return toProvider(row)
}

export async function deleteProvider(trx: Handle, id: string): Promise<void> {
  await trx.deleteFrom('identity_providers').where('id', '=', id).execute()
}
