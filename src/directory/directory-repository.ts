import { sql } from 'kysely'
import { clientIdOf, isClientName } from '../api-keys/imported/imported-client.ts'
import { importedFault } from '../api-keys/imported/imported-secret-seal.ts'
import { isUsable } from '../api-keys/key-state-repository.ts'
import type { Change } from '../database/change.ts'
import type { Handle } from '../database/database.ts'
import type { SecretChecks } from '../installation/installation-secrets.ts'
import type { RecordedIds, RowSeals } from '../installation/row-seals.ts'
import type { ModelFacts } from '../tenants/model.ts'
import type { Catalogue } from '../tenants/rights.ts'
import type { SecretSnapshot } from './directory.ts'
import type { DirectoryUpdate } from './directory-index.ts'
import { type KnownKey, type KnownTenant, snapshotOf } from './known-key.ts'
import {
  type CatalogueRow,
  catalogueJson,
  epochMs,
  foundBy,
  hasLookup,
  type ImportedJson,
  importedJson,
  importedParts,
  type KeyRow,
  lastUse,
  listOf,
  type ModelFactsRow,
  modelFactsJson,
  selectKeys,
  selectTenants,
  type TenantRow,
  toCatalogue,
  toImported,
  toKey,
  toModelFacts,
  toTenant,
} from './known-repository.ts'

/** SQL that reads the directory. Each read is one statement, so it is consistent through any pooler. */

/** Bounds the time of one query. */
const MOST_KEYS_PASSED_OVER = 10_000

export interface ReadPage<T> {
  items: T[]
  /** The position after which the next page begins; undefined: this is the last page. */
  last: string | undefined
}

/** The position in creation order with about as many keys before it as after it. */
export async function middleKey(db: Handle): Promise<string> {
  const { rows } = await sql<{ middle: string }>`
    SELECT coalesce((min(seq) + max(seq)) / 2, 0)::text AS middle FROM api_keys`.execute(db)
  return onlyRow(rows).middle
}

/** The keys of a page: after a position in creation order, up to another or to the end (null). */
interface KeyPage {
  after: string
  upTo: string | null
  limit: number
}

/** A page of the usable keys. */
export async function keyPage(db: Handle, seals: RowSeals, page: KeyPage): Promise<ReadPage<KnownKey>> {
  const { rows } = await selectKeys(sql`${within(page)} ORDER BY k.seq LIMIT ${page.limit}`).execute(db)
  return { items: rows.map(row => toKey(row, seals)), last: rows.at(-1)?.seq }
}

/**
 * A page of the usable keys that were used or created at an instant (epoch milliseconds) or later, or have a secret that is
 * found in memory only. It skips at most a fixed number of others: a page may be empty and not the last.
 */
export async function recentKeyPage(
  db: Handle,
  seals: RowSeals,
  page: KeyPage & { usedSince: number },
): Promise<ReadPage<KnownKey>> {
  const passed = await sql<{
    last: string
  }>`SELECT k.seq::text AS last FROM api_keys AS k WHERE ${within(page)}
    ORDER BY k.seq OFFSET ${MOST_KEYS_PASSED_OVER - 1} LIMIT 1`.execute(db)
  const last = passed.rows[0]?.last
  const upTo = last ?? page.upTo
  const { rows } =
    await selectKeys(sql`${within({ ...page, upTo })} AND (${lastUse} >= ${page.usedSince}::float8 OR ${hasLookup})
    ORDER BY k.seq LIMIT ${page.limit}`).execute(db)
  return {
    items: rows.map(row => toKey(row, seals)),
    last: rows.length < page.limit ? last : rows.at(-1)?.seq,
  }
}

const within = ({ after, upTo }: Pick<KeyPage, 'after' | 'upTo'>) =>
  sql`${isUsable('k')} AND k.seq > ${after}::bigint AND ${upTo === null ? sql`true` : sql`k.seq <= ${upTo}::bigint`}`

/** Whether there are more usable keys than `limit`. */
export async function hasMoreKeysThan(db: Handle, limit: number): Promise<boolean> {
  const { rows } = await sql<{ count: number }>`SELECT count(*)::int AS count FROM (
    SELECT FROM api_keys AS k WHERE ${isUsable('k')} LIMIT ${limit + 1}) AS bounded`.execute(db)
  return (rows[0]?.count ?? 0) > limit
}

/** A page of the last uses of all usable keys, in creation order. */
export async function lastUsePage(
  db: Handle,
  page: { after: string; limit: number },
): Promise<ReadPage<number>> {
  const { rows } = await sql<{ seq: string; used: number }>`
    SELECT k.seq, ${lastUse} AS used FROM api_keys AS k
    WHERE ${isUsable('k')} AND k.seq > ${page.after}::bigint ORDER BY k.seq LIMIT ${page.limit}`.execute(db)
  return { items: rows.map(row => row.used), last: rows.at(-1)?.seq }
}

/** A page of all tenants, ordered by id. */
export async function tenantPage(
  db: Handle,
  page: { after: string; limit: number },
): Promise<ReadPage<KnownTenant>> {
  const which = sql`t.id > ${page.after} ORDER BY t.id LIMIT ${page.limit}`
  const { rows } = await selectTenants(which).execute(db)
  return { items: rows.map(toTenant), last: rows.at(-1)?.id }
}

export async function readCatalogue(
  db: Handle,
  tokenTtlSeconds: number,
): Promise<{ catalogue: Catalogue; modelFacts: ReadonlyMap<string, ModelFacts> }> {
  const { rows } = await sql<{ catalogue: CatalogueRow; facts: ModelFactsRow }>`
    SELECT ${catalogueJson} AS catalogue, ${modelFactsJson} AS facts`.execute(db)
  const { catalogue, facts } = onlyRow(rows)
  return { catalogue: toCatalogue(catalogue, tokenTtlSeconds), modelFacts: toModelFacts(facts) }
}

/** Reads the current state of the objects that `changes` name, the catalogue, and after a change of a model what is listed. */
export async function readUpdate(
  db: Handle,
  seals: RowSeals,
  changes: readonly Change[],
  tokenTtlSeconds: number,
): Promise<DirectoryUpdate> {
  const ids = (kind: Change['kind']) => changes.flatMap(change => (change.kind === kind ? change.id : []))
  const [keyIds, tenantIds] = [ids('key'), ids('tenant')]
  const modelsChanged = changes.some(({ kind }) => kind === 'model')
  const { rows } = await sql<{
    keys: KeyRow[]
    tenants: TenantRow[]
    catalogue: CatalogueRow
    facts: ModelFactsRow | null
  }>`
    SELECT ${listOf(selectKeys(sql`${isUsable('k')} AND k.id = ANY (${keyIds}::text[])`))} AS keys,
      ${listOf(selectTenants(sql`t.id = ANY (${tenantIds}::text[])`))} AS tenants,
      ${catalogueJson} AS catalogue, ${modelsChanged ? modelFactsJson : sql`NULL`} AS facts`.execute(db)
  const row = onlyRow(rows)
  return {
    keyIds,
    keys: row.keys.map(key => toKey(key, seals)),
    tenantIds,
    tenants: row.tenants.map(toTenant),
    catalogue: toCatalogue(row.catalogue, tokenTtlSeconds),
    ...(row.facts && { modelFacts: toModelFacts(row.facts) }),
  }
}

/**
 * A secret that was looked up, by its digest, and its key as the directory stores it: absent when the key is not
 * usable.
 */
export interface LookedUp {
  digest: string
  snapshot: SecretSnapshot
  key: KnownKey | undefined
}

/**
 * Looks secrets up, including revoked and ended ones. Imported ones that are not genuine are not found; `unverifiable`
 * has the digests of those sealed with a key that the installation has and this process lacks. Also returns the check
 * values of the installation's peppers.
 */
export async function lookUpSecrets(
  db: Handle,
  seals: RowSeals,
  digests: readonly string[],
  tokenTtlSeconds: number,
): Promise<{ found: LookedUp[]; unverifiable: ReadonlySet<string>; pepperChecks: SecretChecks }> {
  const [clients, wanted] = [
    digests.filter(name => isClientName(name)).map(name => clientIdOf(name)),
    digests.filter(name => !isClientName(name)).map(digest => Buffer.from(digest, 'base64')),
  ]
  const { rows } = await sql<{
    pepper_checks: SecretChecks
    encryption_key_checks: SecretChecks
    current: RecordedIds['current'] | null
    catalogue: CatalogueRow
    found: LookupRow[]
  }>`
    SELECT pepper_checks, encryption_key_checks, ${catalogueJson} AS catalogue,
      CASE WHEN current_pepper IS NOT NULL
        THEN json_build_object('encryptionKey', current_encryption_key, 'pepper', current_pepper) END AS current,
      ${listOf(sql`
        SELECT ${foundBy} AS digest, CASE WHEN s.client_id IS NOT NULL THEN ${importedJson} END AS imported,
          s.id AS secret_id, ${epochMs('s.ends_at')} AS ends_at,
          s.revoked_at IS NOT NULL AS secret_revoked, k.revoked_at IS NOT NULL AS key_revoked,
          (SELECT row_to_json(key) FROM (${selectKeys(sql`k.id = s.key_id`)}) AS key) AS key,
          (SELECT row_to_json(tenant) FROM (${selectTenants(sql`t.id = k.tenant_id`)}) AS tenant) AS tenant
        FROM api_key_secrets AS s JOIN api_keys AS k ON k.id = s.key_id
        WHERE s.digest = ANY (${wanted}::bytea[]) OR s.client_id = ANY (${clients}::text[])`)} AS found
    FROM (SELECT) AS one LEFT JOIN installation ON true`.execute(db)
  const row = onlyRow(rows)
  const catalogue = toCatalogue(row.catalogue, tokenTtlSeconds)
  const recorded = {
    encryptionKeys: Object.keys(row.encryption_key_checks ?? {}),
    peppers: Object.keys(row.pepper_checks ?? {}),
    current: row.current ?? undefined,
  }
  const unverifiable = new Set<string>()
  const found = row.found.flatMap(each => {
    const fault = each.imported && importedFault(toImported(each.imported), seals, recorded)
    if (fault === 'lacking_key') unverifiable.add(each.digest)
    return fault ? [] : [toLookedUp(each, seals, catalogue)]
  })
  return { found, unverifiable, pepperChecks: row.pepper_checks }
}

interface LookupRow {
  digest: string
  imported: ImportedJson | null
  secret_id: string
  ends_at: number | null
  secret_revoked: boolean
  key_revoked: boolean
  key: KeyRow
  tenant: TenantRow
}

function toLookedUp(row: LookupRow, seals: RowSeals, catalogue: Catalogue): LookedUp {
  const key = toKey(row.key, seals)
  const imported = row.imported ? importedParts(row.imported) : {}
  const secret = { id: row.secret_id, digest: row.digest, endsAt: row.ends_at, ...imported }
  const known = snapshotOf({ key, secret, tenant: toTenant(row.tenant), catalogue })
  const snapshot = { ...known, secretRevoked: row.secret_revoked, keyRevoked: row.key_revoked }
  return { digest: row.digest, snapshot, key: row.key_revoked ? undefined : key }
}

function onlyRow<Row>(rows: readonly Row[]): Row {
  const [row] = rows
  if (!row) throw new Error('a query that has one row had none')
  return row
}
