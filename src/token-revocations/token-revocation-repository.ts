import { sql } from 'kysely'
import type { Change } from '../database/change.ts'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import { DENIED_FOR } from '../tenants/token-epoch-repository.ts'
import type { DeniedClaim, DeniedValue, TokenRevocation } from './token-revocation.ts'

function selectRevocations(db: Handle) {
  return db
    .selectFrom('token_revocations')
    .select(['id', 'seq', 'claim', 'value', 'key_id', 'tenant_id', 'reason', 'created_at', 'ends_at'])
    .where('ends_at', '>', sql<Date>`clock_timestamp()`)
}

type Row = Awaited<ReturnType<ReturnType<typeof selectRevocations>['executeTakeFirstOrThrow']>>

const toRevocation = (row: Row): TokenRevocation => ({
  id: row.id,
  claim: row.claim,
  value: row.value,
  keyId: row.key_id,
  tenantId: row.tenant_id,
  reason: row.reason,
  createdAt: row.created_at,
  endsAt: row.ends_at,
})

/** Entries that have not ended. */
export async function findRevocation(db: Handle, id: string): Promise<TokenRevocation | undefined> {
  const row = await selectRevocations(db).where('id', '=', id).executeTakeFirst()
  return row && toRevocation(row)
}

/** The newest entry that revokes all tokens of the key, or of the tenant itself, and has not ended. */
export async function newestRevocation(
  db: Handle,
  of: { key: string } | { tenant: string },
): Promise<TokenRevocation | undefined> {
  const entries = selectRevocations(db).orderBy('seq', 'desc').limit(1)
  const found =
    'key' in of
      ? entries.where('key_id', '=', of.key).where('claim', '=', 'key_epoch')
      : entries.where('tenant_id', '=', of.tenant).where('claim', '=', 'tenant_epoch')
  const row = await found.executeTakeFirst()
  return row && toRevocation(row)
}

/** Lists entries that have not ended: those of one tenant, or all. */
export async function listRevocations(
  db: Handle,
  tenantId: string | null,
  { limit, after }: PageRequest,
): Promise<Page<TokenRevocation>> {
  const rows = await selectRevocations(db)
    .$if(tenantId !== null, query => query.where('tenant_id', '=', tenantId))
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toRevocation)
}

/** Denies one token. Returns the id of the entry, and whether it is new. */
export async function denyToken(
  trx: Handle,
  token: { jti: string; keyId: string | null; tenantId: string | null; reason: string | null },
): Promise<{ id: string; isNew: boolean }> {
  const { rows } = await sql<{ id: string; is_new: boolean }>`
    INSERT INTO token_revocations (claim, value, key_id, tenant_id, reason, ends_at)
    VALUES ('jti', ${token.jti}, ${token.keyId}, ${token.tenantId}, ${token.reason}, clock_timestamp() + ${DENIED_FOR})
    ON CONFLICT (claim, value) DO UPDATE SET ends_at = greatest(token_revocations.ends_at, excluded.ends_at)
    RETURNING id, xmax = 0 AS is_new`.execute(trx)
  const [row] = rows
  if (!row) throw new Error('an insertion that returns a row returned none')
  return { id: row.id, isNew: row.is_new }
}

/** Number of tokens of the key or the tenant that are denied one by one; stops counting at `most`. */
export async function countDeniedTokens(
  db: Handle,
  of: { key: string } | { tenant: string },
  most: number,
): Promise<number> {
  const owner = 'key' in of ? sql`key_id = ${of.key}` : sql`tenant_id = ${of.tenant}`
  const { rows } = await sql<{ count: number }>`SELECT count(*)::int AS count FROM (
    SELECT FROM token_revocations WHERE ${owner} AND claim = 'jti' AND ends_at > clock_timestamp()
    LIMIT ${most}) AS bounded`.execute(db)
  return rows[0]?.count ?? 0
}

interface DeniedRow {
  seq: string
  claim: DeniedClaim
  value: string
  tenant_id: string | null
  ends_at: number
}

const columns = sql`seq::text AS seq, claim, value, tenant_id, (extract(epoch FROM ends_at) * 1000)::float8 AS ends_at`
const toDenied = ({ claim, value, tenant_id, ends_at }: DeniedRow): DeniedValue => ({
  claim,
  value,
  tenantId: tenant_id,
  endsAt: ends_at,
})

/** A page of the whole list in the order of creation, after a position. `last`: undefined on the last page. */
export async function deniedPage(
  db: Handle,
  after: string,
  limit: number,
): Promise<{ denied: DeniedValue[]; last: string | undefined }> {
  const { rows } = await sql<DeniedRow>`SELECT ${columns} FROM token_revocations
    WHERE seq > ${after}::bigint AND ends_at > clock_timestamp() ORDER BY token_revocations.seq LIMIT ${limit}`.execute(
    db,
  )
  return { denied: rows.map(toDenied), last: rows.length < limit ? undefined : rows.at(-1)?.seq }
}

/** More than are made between two polls. A replica that was unavailable for longer reads the whole list. */
const MOST_OF_AN_OBJECT = 1_000

/** The entries that concern the changed objects: the newest of a key, those of a tenant itself, and single ones. */
export async function deniedBy(db: Handle, changes: readonly Change[]): Promise<DeniedValue[]> {
  const ids = (kind: Change['kind']) => changes.flatMap(change => (change.kind === kind ? change.id : []))
  const { rows } = await sql<DeniedRow>`
    SELECT own.* FROM unnest(${ids('key')}::text[]) AS changed (id), LATERAL (
      SELECT ${columns} FROM token_revocations WHERE key_id = changed.id AND ends_at > clock_timestamp()
      ORDER BY token_revocations.seq DESC LIMIT ${MOST_OF_AN_OBJECT}) AS own
    UNION ALL SELECT own.* FROM unnest(${ids('tenant')}::text[]) AS changed (id), LATERAL (
      SELECT ${columns} FROM token_revocations
      WHERE tenant_id = changed.id AND claim = 'tenant_epoch' AND ends_at > clock_timestamp()
      ORDER BY token_revocations.seq DESC LIMIT ${MOST_OF_AN_OBJECT}) AS own
    UNION ALL SELECT ${columns} FROM token_revocations
    WHERE id = ANY (${ids('token-revocation')}::text[])`.execute(db)
  return rows.map(toDenied)
}

/** Deletes entries that ended. Bounded: the next run continues. */
export async function pruneTokenRevocations(db: Handle): Promise<void> {
  await sql`DELETE FROM token_revocations WHERE id IN (
    SELECT id FROM token_revocations WHERE ends_at < clock_timestamp() LIMIT 10000)`.execute(db)
}
