import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'

/**
 * The epochs that tokens carry as `key_epoch` and `tenant_epoch`. Ending all tokens of a key or tenant replaces its epoch
 * and puts the old one on the deny list (src/token-revocations). No clock is involved: a replica that is cut off issues
 * with the old epoch, and what it issues is denied.
 */

/** The epoch of a key `alias`. */
export const keyEpoch = (alias: string) =>
  sql<string>`coalesce(${sql.ref(`${alias}.token_epoch`)}, right(${sql.ref(`${alias}.id`)}, 8))`

/** How long no token must have a denied value: the longest lifetime, the staleness window, and the clock skew of gateways. */
export const DENIED_FOR = sql`(SELECT make_interval(secs => coalesce(max(longest_token_ttl_seconds), 3600)
  + coalesce(max(longest_staleness_seconds), 86400) + 60) FROM installation)`

/** An id of the deny list, and what was denied. */
interface EndedEpoch {
  id: string
  value: string
}

/** Revokes all issued tokens of these keys. Their rows are locked by the transaction. */
export async function revokeTokensOfKeys(
  trx: Handle,
  ids: readonly string[],
  reason: string | null,
): Promise<EndedEpoch[]> {
  return deny(
    trx,
    sql`
    WITH ended AS (
      SELECT 'key_epoch' AS claim, ${keyEpoch('k')} AS value, k.id AS key_id, k.tenant_id
      FROM api_keys AS k WHERE k.id = ANY (${[...ids]}::text[])
    ), renewed AS (
      UPDATE api_keys SET token_epoch = random_base62(8) WHERE id IN (SELECT key_id FROM ended)
    )`,
    reason,
  )
}

/** Revokes all issued tokens of all keys of the tenant. Its row is locked by the transaction. */
export async function revokeTokensOfTenant(
  trx: Handle,
  id: string,
  reason: string | null,
): Promise<EndedEpoch[]> {
  return deny(
    trx,
    sql`
    WITH ended AS (
      SELECT 'tenant_epoch' AS claim, t.token_epoch AS value, NULL::text AS key_id, t.id AS tenant_id
      FROM tenants AS t WHERE t.id = ${id}
    ), renewed AS (
      UPDATE tenants SET token_epoch = random_base62(8) WHERE id IN (SELECT tenant_id FROM ended)
    )`,
    reason,
  )
}

/** Whether all issued tokens of the key were ended since then. */
export async function areTokensRevoked(trx: Handle, id: string, since: Date): Promise<boolean> {
  const { rows } = await sql`SELECT FROM token_revocations
    WHERE key_id = ${id} AND claim = 'key_epoch' AND created_at >= ${since} LIMIT 1`.execute(trx)
  return rows.length > 0
}

/** Seconds until fewer than `most` such entries are live; undefined: there are fewer now. */
export async function secondsUntilFewer(
  trx: Handle,
  of: { key: string; claim: 'key_epoch' } | { tenant: string; claim: 'key_epoch' | 'tenant_epoch' },
  most: number,
): Promise<number | undefined> {
  const owner = 'key' in of ? sql`key_id = ${of.key}` : sql`tenant_id = ${of.tenant}`
  const { rows } = await sql<{ seconds: number }>`
    SELECT ceil(extract(epoch FROM ends_at - clock_timestamp()))::float8 AS seconds FROM token_revocations
    WHERE ${owner} AND claim = ${of.claim} AND ends_at > clock_timestamp()
    ORDER BY seq DESC OFFSET ${most - 1} LIMIT 1`.execute(trx)
  return rows[0]?.seconds
}

/** Of these epochs, the keys and tenants that have one now: a restored database gives them back. */
export async function holdersOf(
  trx: Handle,
  epochs: { ofKeys: readonly string[]; ofTenants: readonly string[] },
  most: number,
): Promise<{ keyIds: string[]; tenantIds: string[] }> {
  const ids = async (query: RawBuilder<{ id: string }>) => (await query.execute(trx)).rows.map(({ id }) => id)
  return {
    keyIds: await ids(sql`SELECT k.id FROM api_keys AS k
      WHERE ${keyEpoch('k')} = ANY (${[...epochs.ofKeys]}::text[]) LIMIT ${most} FOR UPDATE`),
    tenantIds: await ids(sql`SELECT id FROM tenants
      WHERE token_epoch = ANY (${[...epochs.ofTenants]}::text[]) LIMIT ${most} FOR UPDATE`),
  }
}

async function deny(trx: Handle, ended: RawBuilder<unknown>, reason: string | null): Promise<EndedEpoch[]> {
  const { rows } = await sql<EndedEpoch>`${ended}
    INSERT INTO token_revocations (claim, value, key_id, tenant_id, reason, ends_at)
    SELECT claim, value, key_id, tenant_id, ${reason}::text, clock_timestamp() + ${DENIED_FOR} FROM ended
    ON CONFLICT (claim, value) DO UPDATE SET ends_at = greatest(token_revocations.ends_at, excluded.ends_at)
    RETURNING id, value`.execute(trx)
  return rows
}
