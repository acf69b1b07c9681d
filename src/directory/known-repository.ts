import { type RawBuilder, sql } from 'kysely'
import { LRUCache } from 'lru-cache'
import {
  boundedHash,
  boundedSeal,
  boundedSealedWith,
} from '../api-keys/imported/imported-column-repository.ts'
import { importedFault, type StoredImportedSecret } from '../api-keys/imported/imported-secret-seal.ts'
import { LOOKUP_SCHEME } from '../api-keys/imported/lookup-secret.ts'
import type { SecretProof } from '../api-keys/imported/secret-proof.ts'
import { KEY_SETTINGS } from '../api-keys/key-settings.ts'
import { isUsableSecret } from '../api-keys/key-state-repository.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { grantedNames } from '../tenants/grant-repository.ts'
import type { Limits } from '../tenants/limits.ts'
import type { ModelFacts } from '../tenants/model.ts'
import type { Catalogue, KeyRights } from '../tenants/rights.ts'
import { rightsAmong, type Settings } from '../tenants/setting.ts'
import { type ColumnsRead, columnsOf, fromColumns } from '../tenants/setting-columns.ts'
import { TENANT_SETTINGS } from '../tenants/tenant-settings.ts'
import { keyEpoch } from '../tenants/token-epoch-repository.ts'
import type { KnownKey, KnownTenant } from './known-key.ts'

/**
 * The SQL fragments of the directory's reads, and the mapping of their rows. Rows are JSON, so that one statement can
 * return several kinds: instants in epoch milliseconds, digests in base64.
 */

const KEY_RIGHTS = rightsAmong(KEY_SETTINGS)
const TENANT_RIGHTS = rightsAmong(TENANT_SETTINGS)

const columns = (table: string, settings: Settings) =>
  sql.join(columnsOf(settings).map(column => sql.ref(`${table}.${column}`)))

export const epochMs = (column: string) => sql`(extract(epoch FROM ${sql.ref(column)}) * 1000)::float8`

/** The lookup key of a secret `s`: its digest in base64, or its client_id, which cannot look like one. */
export const foundBy = sql<string>`coalesce(encode(s.digest, 'base64'), 'client:' || s.client_id)`

/** When a secret of a key `k` was last used or created, in epoch milliseconds. */
export const lastUse = sql`(SELECT max(${sql`extract(epoch FROM coalesce(s.last_used_at, s.created_at)) * 1000`})::float8
  FROM api_key_secrets AS s WHERE s.key_id = k.id)`

/** Whether a key `k` has a secret that is found in memory only. */
export const hasLookup = sql`EXISTS (SELECT FROM api_key_secrets AS s WHERE s.key_id = k.id AND s.scheme = ${LOOKUP_SCHEME}
  AND ${isUsableSecret('s')})`

/** An imported secret `s` with its seal and its proof. */
export const importedJson = sql`json_build_object('id', s.id, 'keyId', s.key_id, 'clientId', s.client_id,
  'scheme', s.scheme, 'hash', ${boundedHash}, 'endsAt', ${epochMs('s.ends_at')}, 'revokedAt', ${epochMs('s.revoked_at')},
  'sealedWith', ${boundedSealedWith}, 'seal', encode(${boundedSeal}, 'base64'),
  'proof', CASE WHEN s.scheme = 'bcrypt' THEN (
    SELECT json_build_object('pepperId', p.pepper_id, 'digest', encode(p.digest, 'base64'))
    FROM secret_proofs AS p WHERE p.secret_id = s.id) END)`

export type ImportedJson = Omit<StoredImportedSecret, 'seal'> & {
  seal: string | null
  proof: SecretProof | null
}

export const toImported = ({ proof: _, ...json }: ImportedJson): StoredImportedSecret => ({
  ...json,
  seal: json.seal === null ? null : Buffer.from(json.seal, 'base64'),
})

/** The parts of a genuine imported secret that the directory keeps. */
export const importedParts = ({ scheme, hash, proof }: ImportedJson) => ({
  imported: { scheme, hash },
  ...(proof !== null && { proof }),
})

/** A key has two usable secrets. More were not written by Mintmark, and are newer. */
const MOST_SECRETS = 20

/** Keys with their usable secrets. `which` is a condition on `k`, and any clauses after it. */
export const selectKeys = (which: RawBuilder<unknown>) => sql<KeyRow>`
  SELECT k.id, k.seq::text AS seq, k.tenant_id, ${epochMs('k.expires_at')} AS expires_at,
    k.disabled_at IS NOT NULL AS disabled, ${keyEpoch('k')} AS epoch,
    json_build_array(${columns('k', KEY_RIGHTS)},
      CASE WHEN k.models_limited THEN ${grantedNames('key', sql.ref('k.id'), 'model')} END,
      CASE WHEN k.adapters_limited THEN ${grantedNames('key', sql.ref('k.id'), 'adapter')} END)::text AS rights,
    (SELECT json_agg(CASE WHEN s.client_id IS NULL THEN json_build_array(s.id, ${foundBy}, ${epochMs('s.ends_at')})
        ELSE json_build_array(s.id, ${foundBy}, ${epochMs('s.ends_at')}, ${importedJson}) END ORDER BY s.seq)
      FROM (SELECT s.id, s.seq, s.key_id, s.digest, s.client_id, s.scheme, s.hash, s.ends_at, s.revoked_at, s.sealed_with, s.seal
        FROM api_key_secrets AS s WHERE s.key_id = k.id AND ${isUsableSecret('s')}
        ORDER BY s.seq LIMIT ${MOST_SECRETS}) AS s) AS secrets
  FROM api_keys AS k WHERE ${which}`

/** `which` is a condition on `t`, and any clauses after it. */
export const selectTenants = (which: RawBuilder<unknown>) => sql<TenantRow>`
  SELECT t.id, t.suspended_at IS NOT NULL AS suspended, t.token_epoch AS epoch, t.staleness_seconds, ${columns('t', TENANT_RIGHTS)},
    (SELECT json_agg(tier ORDER BY position) FROM tenant_tiers WHERE tenant_id = t.id) AS allowed_tiers,
    CASE WHEN t.models_limited THEN ${grantedNames('tenant', sql.ref('t.id'), 'model')} END AS models,
    ${grantedNames('tenant', sql.ref('t.id'), 'adapter')} AS adapters
  FROM tenants AS t WHERE ${which}`

export const catalogueJson = sql<CatalogueRow>`json_build_object(
  'priorities', (SELECT coalesce(json_object_agg(name, priority), '{}') FROM tiers),
  'limits', (SELECT coalesce(json_object_agg(name, limits), '{}') FROM tiers WHERE limits <> '{}'),
  'models', (SELECT coalesce(json_agg(name ORDER BY seq), '[]') FROM models WHERE kind = 'model'))`

/** Of base models without a length there is nothing to say. */
export const modelFactsJson = sql<ModelFactsRow>`(
  SELECT coalesce(json_agg(json_build_array(m.name, m.base_model, coalesce(m.max_model_len, b.max_model_len))), '[]')
  FROM models AS m LEFT JOIN models AS b ON b.name = m.base_model
  WHERE m.kind = 'adapter' OR m.max_model_len IS NOT NULL)`

/** A subquery: all rows as one JSON array. */
export const listOf = (rows: RawBuilder<unknown>) =>
  sql`(SELECT coalesce(json_agg(listed), '[]') FROM (${rows}) AS listed)`

export interface KeyRow {
  id: string
  seq: string
  tenant_id: string
  expires_at: number | null
  disabled: boolean
  epoch: string
  /** JSON text that many keys share. */
  rights: string
  secrets: [id: string, digest: string, endsAt: number | null, imported?: ImportedJson][] | null
}

export interface TenantRow extends ColumnsRead<typeof TENANT_RIGHTS> {
  id: string
  suspended: boolean
  epoch: string
  staleness_seconds: number | null
  allowed_tiers: string[]
  models: string[] | null
  adapters: string[]
}

export interface CatalogueRow {
  priorities: Record<string, number>
  limits: Record<string, Limits>
  models: string[]
}

export type ModelFactsRow = [name: string, baseModel: string | null, maxModelLen: number | null][]

/** Imported secrets that are not genuine are left out. */
export function toKey(row: KeyRow, seals: RowSeals): KnownKey {
  const stored = row.secrets ?? []
  const faults = stored.map(([, , , imported]) =>
    imported ? importedFault(toImported(imported), seals, NONE_RECORDED) : undefined,
  )
  const secrets = stored.flatMap(([id, digest, endsAt, imported], place) =>
    faults[place] ? [] : [{ id, digest, endsAt, ...(imported && importedParts(imported)) }],
  )
  return {
    id: row.id,
    tenantId: row.tenant_id,
    expiresAt: row.expires_at,
    disabled: row.disabled,
    epoch: row.epoch,
    rights: toRights(row.rights),
    secrets,
    ...(secrets.length < stored.length && { incomplete: true }),
    ...(faults.includes('unknown_key') && { unverifiable: true }),
  }
}

/** For reads that use genuine rows only, whatever is wrong with the others. */
const NONE_RECORDED = { encryptionKeys: [], peppers: [], current: undefined }

/** The rights of a key by name, in the order of `selectKeys`. */
interface KeyRightsRow extends ColumnsRead<typeof KEY_RIGHTS> {
  models: string[] | null
  adapters: string[] | null
}

/** Number of distinct rights that are shared. Beyond it the least recently used are evicted. */
const MOST_RIGHTS = 10_000
const rightsByText = new LRUCache<string, KeyRights>({ max: MOST_RIGHTS })

/** Equal texts return the same object, so that 250,000 keys share a few lists. */
function toRights(text: string): KeyRights {
  const known = rightsByText.get(text)
  if (known) return known
  const values = JSON.parse(text)
  const names = [...columnsOf(KEY_RIGHTS), 'models', 'adapters']
  const row = Object.fromEntries(names.map((name, place) => [name, values[place]])) as KeyRightsRow
  const { models, adapters } = row
  const rights: KeyRights = { ...fromColumns(KEY_RIGHTS, row), models, adapters }
  rightsByText.set(text, rights)
  return rights
}

export const toTenant = (row: TenantRow): KnownTenant => ({
  id: row.id,
  suspended: row.suspended,
  epoch: row.epoch,
  stalenessSeconds: row.staleness_seconds,
  rights: {
    ...fromColumns(TENANT_RIGHTS, row),
    allowedTiers: row.allowed_tiers,
    models: row.models,
    adapters: row.adapters,
  },
})

export const toCatalogue = (row: CatalogueRow, tokenTtlSeconds: number): Catalogue => ({
  priorities: new Map(Object.entries(row.priorities)),
  tierLimits: new Map(Object.entries(row.limits)),
  models: row.models,
  tokenTtlSeconds,
})

export const toModelFacts = (row: ModelFactsRow): ReadonlyMap<string, ModelFacts> =>
  new Map(row.map(([name, baseModel, maxModelLen]) => [name, { baseModel, maxModelLen }]))
