import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { Mark, Tombstone } from './tombstone.ts'

/** Bounds the memory, the snapshot and the time of the query. */
export const MOST_TOMBSTONES = 20_000
/** An id in full, for every row that Mintmark writes. */
const LONGEST_ID = 128

interface Source {
  kind: Tombstone['kind']
  table: string
  id: string
  owner: string | null
  at: RawBuilder<unknown>
  ended: RawBuilder<unknown>
}

/** Where each kind is read. Expired keys matter as well: a restored row may expire later. */
const SOURCES: readonly Source[] = [
  {
    kind: 'key_revoked',
    table: 'api_keys',
    id: 'id',
    owner: 'tenant_id',
    at: sql`revoked_at`,
    ended: sql`revoked_at IS NOT NULL`,
  },
  {
    kind: 'key_disabled',
    table: 'api_keys',
    id: 'id',
    owner: 'tenant_id',
    at: sql`disabled_at`,
    ended: sql`disabled_at IS NOT NULL`,
  },
  {
    kind: 'secret_ended',
    table: 'api_key_secrets',
    id: 'id',
    owner: 'key_id',
    at: sql`least(revoked_at, ends_at)`,
    ended: sql`(revoked_at IS NOT NULL OR ends_at IS NOT NULL)`,
  },
  {
    kind: 'tenant_suspended',
    table: 'tenants',
    id: 'id',
    owner: null,
    at: sql`suspended_at`,
    ended: sql`suspended_at IS NOT NULL`,
  },
  {
    kind: 'tenant_deleted',
    table: 'deleted_tenants',
    id: 'id',
    owner: null,
    at: sql`deleted_at`,
    ended: sql`true`,
  },
  {
    kind: 'signing_key_revoked',
    table: 'signing_keys',
    id: 'kid',
    owner: null,
    at: sql`revoked_at`,
    ended: sql`revoked_at IS NOT NULL`,
  },
  {
    kind: 'admin_token_revoked',
    table: 'admin_tokens',
    id: 'id',
    owner: 'tenant_id',
    at: sql`revoked_at`,
    ended: sql`revoked_at IS NOT NULL`,
  },
  {
    kind: 'credential_deleted',
    table: 'deleted_identities',
    id: 'id',
    owner: 'owner',
    at: sql`deleted_at`,
    ended: sql`starts_with(id, 'crd_')`,
  },
  {
    kind: 'provider_deleted',
    table: 'deleted_identities',
    id: 'id',
    owner: null,
    at: sql`deleted_at`,
    ended: sql`starts_with(id, 'idp_')`,
  },
  {
    kind: 'usage_reporter_deleted',
    table: 'usage_reporters',
    id: 'id',
    owner: null,
    at: sql`deleted_at`,
    ended: sql`deleted_at IS NOT NULL`,
  },
  {
    kind: 'usage_reporter_secret_ended',
    table: 'usage_reporter_secrets',
    id: 'id',
    owner: 'reporter_id',
    at: sql`ends_at`,
    ended: sql`true`,
  },
]

const milliseconds = (instant: RawBuilder<unknown>) =>
  sql`floor(extract(epoch FROM ${instant}) * 1000)::float8`

const selected = ({ kind, table, id, owner, at, ended }: Source, which: RawBuilder<unknown>) => sql`
  SELECT ${kind}::text AS kind, ${sql.ref(id)} AS id, ${owner === null ? sql`NULL::text` : sql.ref(owner)} AS owner,
    ${milliseconds(at)} AS at
  FROM ${sql.table(table)} WHERE ${ended} AND length(${sql.ref(id)}) <= ${LONGEST_ID} AND ${which}`

/** The newest objects that ended. */
export async function readEnded(db: Handle): Promise<Tombstone[]> {
  const newest = SOURCES.map(
    source => sql`(${selected(source, sql`true`)} ORDER BY ${source.at} DESC LIMIT ${MOST_TOMBSTONES})`,
  )
  const { rows } = await sql<Tombstone>`
    SELECT kind, id, owner, at FROM (${sql.join(newest, sql` UNION ALL `)}) AS ended
    ORDER BY at DESC LIMIT ${MOST_TOMBSTONES}`.execute(db)
  return rows
}

/** The objects with these ids that ended, and the secrets and credentials of keys and reporters with these ids. */
export async function readEndedOf(db: Handle, ids: readonly string[]): Promise<Tombstone[]> {
  const named = sql`ANY (${[...ids]}::text[])`
  const found = SOURCES.map(source => {
    const ofKey: Partial<Record<Source['kind'], string>> = {
      secret_ended: 'key_id',
      credential_deleted: 'owner',
      usage_reporter_secret_ended: 'reporter_id',
    }
    const column = ofKey[source.kind] ?? source.id
    return selected(source, sql`${sql.ref(column)} = ${named}`)
  })
  const { rows } = await sql<Tombstone>`${sql.join(found, sql` UNION ALL `)}`.execute(db)
  return rows
}

/** Of these, those that are usable in the database. What it does not have is not usable. */
export async function readUsable(db: Handle, ended: readonly Tombstone[]): Promise<Tombstone[]> {
  if (ended.length === 0) return []
  const { rows } = await sql<Tombstone>`
    SELECT t.kind, t.id, t.owner, t.at
    FROM jsonb_to_recordset(${JSON.stringify(ended)}::jsonb) AS t (kind text, id text, owner text, at float8)
    WHERE CASE t.kind
      WHEN 'key_revoked' THEN EXISTS (SELECT FROM api_keys AS k WHERE k.id = t.id AND k.revoked_at IS NULL)
      WHEN 'key_disabled' THEN EXISTS (SELECT FROM api_keys AS k
        WHERE k.id = t.id AND k.revoked_at IS NULL AND k.disabled_at IS NULL)
      WHEN 'secret_ended' THEN EXISTS (SELECT FROM api_key_secrets AS s JOIN api_keys AS k ON k.id = s.key_id
        WHERE s.id = t.id AND s.revoked_at IS NULL AND k.revoked_at IS NULL
          AND (s.ends_at IS NULL OR s.ends_at > to_timestamp((t.at + 1) / 1000)))
      WHEN 'tenant_suspended' THEN EXISTS (SELECT FROM tenants AS n WHERE n.id = t.id AND n.suspended_at IS NULL)
      WHEN 'tenant_deleted' THEN EXISTS (SELECT FROM tenants AS n WHERE n.id = t.id)
      WHEN 'signing_key_revoked' THEN EXISTS (SELECT FROM signing_keys AS s WHERE s.kid = t.id AND s.state <> 'removed')
      WHEN 'admin_token_revoked' THEN EXISTS (SELECT FROM admin_tokens AS a WHERE a.id = t.id AND a.revoked_at IS NULL)
      WHEN 'credential_deleted' THEN EXISTS (SELECT FROM key_credentials AS c WHERE c.id = t.id)
      WHEN 'provider_deleted' THEN EXISTS (SELECT FROM identity_providers AS p WHERE p.id = t.id)
      WHEN 'usage_reporter_deleted' THEN EXISTS (SELECT FROM usage_reporters AS u
        WHERE u.id = t.id AND u.deleted_at IS NULL)
      WHEN 'usage_reporter_secret_ended' THEN EXISTS (SELECT FROM usage_reporters AS u
        LEFT JOIN usage_reporter_secrets AS s ON s.reporter_id = u.id AND s.id = t.id
        WHERE u.id = t.owner AND u.deleted_at IS NULL
          AND (u.secret_id = t.id OR s.ends_at > greatest(now(), to_timestamp((t.at + 1) / 1000))))
    END ORDER BY t.at`.execute(db)
  return rows
}

/** The state of the database: its mark, its installation, and its time in epoch milliseconds. */
export async function readState(
  db: Handle,
): Promise<{ mark: Mark; installation: string | undefined; now: number }> {
  const { rows } = await sql<{ id: string; hash: string; installation: string | null; now: number }>`
    SELECT audit_id AS id, encode(audit_hash, 'hex') AS hash, (SELECT id FROM installation) AS installation,
      ${milliseconds(sql`now()`)} AS now
    FROM change_counter`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the change counter has no row')
  const { id, hash, installation, now } = row
  return { mark: { id: Number(id), hash }, installation: installation ?? undefined, now }
}

/** Whether the history of the database goes through this mark. Of a row that retention deleted it is assumed. */
export async function continues(db: Handle, { id, hash }: Mark): Promise<boolean> {
  const { rows } = await sql<{ same: boolean }>`
    SELECT coalesce((SELECT encode(hash, 'hex') = ${hash} FROM audit_events WHERE id = ${id}::bigint),
      audit_cut_id >= ${id}::bigint) AS same FROM change_counter`.execute(db)
  return rows[0]?.same ?? false
}

/** The hash of the row at this position, in hex, or of the last one that retention deleted (zeros for 0); undefined: neither. */
export async function hashAt(db: Handle, id: number): Promise<string | undefined> {
  const { rows } = await sql<{ hash: string | null }>`
    SELECT coalesce((SELECT encode(hash, 'hex') FROM audit_events WHERE id = ${id}::bigint),
      CASE WHEN audit_cut_id = ${id}::bigint THEN encode(audit_cut_hash, 'hex') END) AS hash
    FROM change_counter`.execute(db)
  return rows[0]?.hash ?? undefined
}

/** When the row at this position, or the last before it, was written: RFC 3339; null: there is none. */
export async function writtenAt(db: Handle, id: number): Promise<string | null> {
  const { rows } = await sql<{ at: Date }>`
    SELECT at FROM audit_events WHERE id <= ${id} ORDER BY id DESC LIMIT 1`.execute(db)
  return rows[0]?.at.toISOString() ?? null
}
