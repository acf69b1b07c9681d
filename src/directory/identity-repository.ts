import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { ProviderSettings } from '../identity-providers/identity-provider.ts'
import {
  credentialFault,
  providerFault,
  type SealedCredentialRow,
  type SealedProviderRow,
} from '../identity-providers/identity-seals.ts'
import type { CredentialSettings } from '../identity-providers/key-credential.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { IdentityContents, IdentityKey, KnownProvider } from './identity-contents.ts'
import { type KeyRow, selectKeys, toKey } from './known-repository.ts'

/** Bounds the memory that rows which are not genuine take while they are read. */
const PROVIDERS_A_PAGE = 50
const CREDENTIALS_A_PAGE = 500
/** More than a key has. Others were not written by Mintmark, and are newer. */
const MOST_OF_A_KEY = 40

/** Reads providers and keys with their credentials; undefined: all of them. Rows that are not genuine are left out. */
export async function readIdentities(
  db: Handle,
  seals: RowSeals,
  {
    providerIds,
    keyIds,
  }: { providerIds: readonly string[] | undefined; keyIds: readonly string[] | undefined },
): Promise<Pick<IdentityContents, 'providers' | 'keys'>> {
  const credentials = keyIds
    ? await credentialsOfKeys(db, seals, keyIds)
    : await genuine(
        CREDENTIALS_A_PAGE,
        after => credentialRows(db, sql`c.id > ${after} ORDER BY c.id LIMIT ${CREDENTIALS_A_PAGE}`),
        row => credentialFault(seals, row) === undefined,
      )
  const byKey = Map.groupBy(credentials, ({ key_id }) => key_id)
  const ids = [...byKey.keys()]
  const found = ids.length === 0 ? [] : (await selectKeys(sql`k.id = ANY (${ids}::text[])`).execute(db)).rows
  return {
    providers: await readProviders(db, seals, providerIds),
    keys: found.map(row => toIdentityKey(row, seals, byKey.get(row.id) ?? [])),
  }
}

async function readProviders(
  db: Handle,
  seals: RowSeals,
  ids: readonly string[] | undefined,
): Promise<KnownProvider[]> {
  if (ids?.length === 0) return []
  const which = ids === undefined ? sql`true` : sql`id = ANY (${ids}::text[])`
  const page = async (after: string) => {
    const { rows } =
      await sql<SealedProviderRow>`SELECT id, definition, sealed_with, seal FROM identity_providers
      WHERE ${which} AND id > ${after} ORDER BY id LIMIT ${PROVIDERS_A_PAGE}`.execute(db)
    return rows
  }
  const rows = await genuine(PROVIDERS_A_PAGE, page, row => providerFault(seals, row) === undefined)
  return rows.map(({ id, definition }) => ({ ...(JSON.parse(definition) as ProviderSettings), id }))
}

/** The genuine rows of all pages. */
async function genuine<Row extends { id: string }>(
  limit: number,
  page: (after: string) => Promise<Row[]>,
  isGenuine: (row: Row) => boolean,
): Promise<Row[]> {
  const kept: Row[] = []
  for (let after = ''; ; ) {
    const rows = await page(after)
    for (const row of rows) if (isGenuine(row)) kept.push(row)
    const last = rows.at(-1)
    if (!last || rows.length < limit) return kept
    after = last.id
  }
}

function toIdentityKey(row: KeyRow, seals: RowSeals, credentials: readonly OwnedRow[]): IdentityKey {
  return {
    key: { ...toKey(row, seals), secrets: [] },
    revoked: credentials.some(each => each.key_revoked),
    credentials: credentials.map(({ id, key_id, definition }) => ({
      id,
      keyId: key_id,
      settings: JSON.parse(definition) as CredentialSettings,
    })),
  }
}

type OwnedRow = SealedCredentialRow & { key_revoked: boolean }

async function credentialsOfKeys(
  db: Handle,
  seals: RowSeals,
  keyIds: readonly string[],
): Promise<OwnedRow[]> {
  if (keyIds.length === 0) return []
  const rows = await credentialRows(
    db,
    sql`c.key_id = ANY (${keyIds}::text[]) AND c.id IN (
      SELECT own.id FROM unnest(${keyIds}::text[]) AS wanted (id), LATERAL (
        SELECT id FROM key_credentials WHERE key_id = wanted.id ORDER BY seq LIMIT ${MOST_OF_A_KEY}) AS own)`,
  )
  return rows.filter(row => credentialFault(seals, row) === undefined)
}

async function credentialRows(db: Handle, which: RawBuilder<unknown>): Promise<OwnedRow[]> {
  const { rows } =
    await sql<OwnedRow>`SELECT c.id, c.key_id, c.provider_id, c.definition, c.sealed_with, c.seal,
      k.revoked_at IS NOT NULL AS key_revoked
    FROM key_credentials AS c JOIN api_keys AS k ON k.id = c.key_id WHERE ${which}`.execute(db)
  return rows
}

/** Which of these tenants exist. */
export async function existingTenants(db: Handle, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const { rows } = await sql<{ id: string }>`SELECT id FROM tenants WHERE id = ANY (${ids}::text[])`.execute(
    db,
  )
  return new Set(rows.map(({ id }) => id))
}
