import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { holdCurrentPepper } from '../installation/installation.ts'
import type { NamedKey } from '../system/secret.ts'

/**
 * The SQL of deferred writes. Rows are locked in the order of their ids. A row that another transaction has locked is
 * skipped and returned, so a batch never waits for an admin request or deadlocks with one.
 */

/** `at` in epoch milliseconds. */
export interface LastUse {
  secretId: string
  at: number
}

/** Precise to the minute, so that a secret in constant use is not written each time. */
export async function writeLastUses(trx: Handle, uses: readonly LastUse[]): Promise<LastUse[]> {
  const ids = uses.map(({ secretId }) => secretId)
  const free = await lockSecrets(trx, ids)
  await sql`
    UPDATE api_key_secrets AS s SET last_used_at = to_timestamp(used.ms / 1000)
    FROM unnest(${ids}::text[], ${uses.map(({ at }) => at)}::float8[]) AS used (id, ms)
    WHERE s.id = used.id AND s.id = ANY (${free}::text[])
      AND (s.last_used_at IS NULL OR s.last_used_at < to_timestamp(used.ms / 1000) - interval '1 minute')`.execute(
    trx,
  )
  await writeCredentialUses(trx, uses)
  await writeDaysOfUse(trx, uses)
  // The next use of the secret writes the same.
  return []
}

/** Credentials that are not secrets have ids of their own. */
async function writeCredentialUses(trx: Handle, uses: readonly LastUse[]): Promise<void> {
  const those = uses.filter(({ secretId }) => secretId.startsWith('crd_'))
  if (those.length === 0) return
  await sql`
    WITH used AS (
      SELECT id, ms FROM unnest(${those.map(({ secretId }) => secretId)}::text[], ${those.map(({ at }) => at)}::float8[]) AS used (id, ms)
    ), free AS (
      SELECT c.id, used.ms FROM key_credentials AS c JOIN used ON used.id = c.id
      WHERE c.last_used_at IS NULL OR c.last_used_at < to_timestamp(used.ms / 1000) - interval '1 minute'
      ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED
    )
    UPDATE key_credentials AS c SET last_used_at = to_timestamp(free.ms / 1000) FROM free WHERE c.id = free.id`.execute(
    trx,
  )
}

/** At most one write per key and day, for lists of unused keys. */
async function writeDaysOfUse(trx: Handle, uses: readonly LastUse[]): Promise<void> {
  await sql`
    WITH used AS (
      SELECT s.key_id, max((to_timestamp(ms / 1000) AT TIME ZONE 'UTC')::date) AS day
      FROM unnest(${uses.map(({ secretId }) => secretId)}::text[], ${uses.map(({ at }) => at)}::float8[]) AS used (id, ms)
      JOIN (SELECT id, key_id FROM api_key_secrets UNION ALL SELECT id, key_id FROM key_credentials) AS s
        ON s.id = used.id GROUP BY s.key_id
    ), free AS (
      SELECT k.id, used.day FROM api_keys AS k JOIN used ON used.key_id = k.id WHERE k.last_used_on < used.day
      ORDER BY k.id FOR NO KEY UPDATE OF k SKIP LOCKED
    )
    UPDATE api_keys AS k SET last_used_on = free.day FROM free WHERE k.id = free.id`.execute(trx)
}

/** A secret stored under digest `from`, to be stored under `to`. Both in base64. */
export interface Redigest {
  secretId: string
  from: string
  to: string
}

/**
 * Replaces digests by those under `pepper`; a secret that has another digest by now keeps it. Does nothing while the
 * installation record names another pepper for new digests: replicas that are restarted one after the other with a new
 * list would undo each other's work. Returns the replaced digests and the rows that were locked.
 */
export async function writeRedigests(
  trx: Handle,
  { pepper, redigests }: { pepper: NamedKey; redigests: readonly Redigest[] },
): Promise<{ done: Redigest[]; held: Redigest[] }> {
  if (!(await holdCurrentPepper(trx, pepper))) return { done: [], held: [] }
  const ids = redigests.map(({ secretId }) => secretId)
  const free = await lockSecrets(trx, ids)
  await sql`
    UPDATE api_key_secrets AS s SET digest = wanted.digest, pepper_id = ${pepper.id}
    FROM unnest(${ids}::text[], ${redigests.map(({ from }) => Buffer.from(from, 'base64'))}::bytea[],
      ${redigests.map(({ to }) => Buffer.from(to, 'base64'))}::bytea[]) AS wanted (id, found_by, digest)
    WHERE s.id = wanted.id AND s.id = ANY (${free}::text[]) AND s.digest = wanted.found_by`.execute(trx)
  const isFree = new Set(free)
  return {
    done: redigests.filter(({ secretId }) => isFree.has(secretId)),
    held: redigests.filter(({ secretId }) => !isFree.has(secretId)),
  }
}

/** A proof under the current pepper that an imported secret matched `hash`. `digest` in base64. */
export interface Proof {
  secretId: string
  hash: string
  digest: string
}

/**
 * Stores proofs under `pepper`, for secrets that still have the hash that was proven. As with digests, only under the
 * pepper that the installation record names. Returns the proofs of locked secrets.
 */
export async function writeProofs(
  trx: Handle,
  { pepper, proofs }: { pepper: NamedKey; proofs: readonly Proof[] },
): Promise<Proof[]> {
  if (!(await holdCurrentPepper(trx, pepper))) return []
  const ids = proofs.map(({ secretId }) => secretId)
  const { free, held } = await keepFromDeletion(trx, 'api_key_secrets', ids)
  await sql`
    INSERT INTO secret_proofs (secret_id, digest, pepper_id)
    SELECT s.id, proven.digest, ${pepper.id}
    FROM unnest(${ids}::text[], ${proofs.map(({ hash }) => hash)}::text[],
      ${proofs.map(({ digest }) => Buffer.from(digest, 'base64'))}::bytea[]) AS proven (id, hash, digest)
    JOIN api_key_secrets AS s ON s.id = proven.id AND s.hash = proven.hash AND s.revoked_at IS NULL
    WHERE s.id = ANY (${[...free]}::text[]) ORDER BY s.id
    ON CONFLICT (secret_id) DO UPDATE
      SET digest = excluded.digest, pepper_id = excluded.pepper_id, proven_at = now()`.execute(trx)
  return proofs.filter(({ secretId }) => held.has(secretId))
}

/** Locks rows against deletion only. `held` are those that another transaction has locked. */
async function keepFromDeletion(
  trx: Handle,
  table: 'api_keys' | 'api_key_secrets',
  ids: readonly string[],
): Promise<{ free: Set<string>; held: Set<string> }> {
  const named = sql`SELECT id FROM ${sql.table(table)} WHERE id = ANY (${[...ids]}::text[])`
  const locked = await sql<{ id: string }>`${named} ORDER BY id FOR KEY SHARE SKIP LOCKED`.execute(trx)
  const there = await sql<{ id: string }>`${named}`.execute(trx)
  const free = new Set(locked.rows.map(({ id }) => id))
  return { free, held: new Set(there.rows.flatMap(({ id }) => (free.has(id) ? [] : [id]))) }
}

async function lockSecrets(trx: Handle, ids: readonly string[]): Promise<string[]> {
  const rows = await trx
    .selectFrom('api_key_secrets')
    .select('id')
    .where('id', 'in', ids)
    .orderBy('id')
    .forUpdate()
    .skipLocked()
    .execute()
  return rows.map(({ id }) => id)
}

/** How often an outcome occurred for a key on a day. `day`: days since 1970-01-01, UTC. */
export interface UsageCount {
  keyId: string
  day: number
  outcome: string
  count: number
}

/** Adds the counts. Counts of deleted keys are dropped. */
export async function addUsage(trx: Handle, counts: readonly UsageCount[]): Promise<UsageCount[]> {
  const ids = [...new Set(counts.map(({ keyId }) => keyId))]
  const { free, held } = await keepFromDeletion(trx, 'api_keys', ids)
  await insertUsage(
    trx,
    counts.filter(({ keyId }) => free.has(keyId)),
  )
  return counts.filter(({ keyId }) => held.has(keyId))
}

async function insertUsage(trx: Handle, counts: readonly UsageCount[]): Promise<void> {
  await sql`
    INSERT INTO key_usage (key_id, day, outcome, count)
    SELECT key_id, date '1970-01-01' + day, outcome, count
    FROM unnest(${counts.map(({ keyId }) => keyId)}::text[], ${counts.map(({ day }) => day)}::int[],
      ${counts.map(({ outcome }) => outcome)}::text[], ${counts.map(({ count }) => count)}::bigint[])
      AS added (key_id, day, outcome, count)
    ORDER BY key_id, day, outcome
    ON CONFLICT (key_id, day, outcome) DO UPDATE SET count = key_usage.count + excluded.count`.execute(trx)
}

/** Deletes counts that are older than 400 days. */
export async function pruneUsage(db: Handle): Promise<void> {
  await sql`SELECT prune_key_usage(interval '400 days')`.execute(db)
}
