import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { Mark, Tombstone } from './tombstone.ts'

/** A restore of the database that a replica noticed. */
export interface Restore {
  id: string
  noticedAt: Date
  noticedBy: string
  /** The last audit row that a replica knew, and until when it knew everything. */
  known: Mark
  knownAt: Date
  /** The last audit row of the restored database. */
  found: Mark
  reconciledAt: Date | null
}

/** Restores, newest first. */
export async function readRestores(db: Handle, limit: number): Promise<Restore[]> {
  const rows = await db
    .selectFrom('restores')
    .select(['id', 'noticed_at', 'noticed_by', 'known_id', 'known_at', 'found_id', 'reconciled_at'])
    .select(sql<string>`encode(known_hash, 'hex')`.as('known_hash'))
    .select(sql<string>`encode(found_hash, 'hex')`.as('found_hash'))
    .orderBy('noticed_at', 'desc')
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map(row => ({
    id: row.id,
    noticedAt: row.noticed_at,
    noticedBy: row.noticed_by,
    known: { id: Number(row.known_id), hash: row.known_hash },
    knownAt: row.known_at,
    found: { id: Number(row.found_id), hash: row.found_hash },
    reconciledAt: row.reconciled_at,
  }))
}

/** What replicas need to know: the open restores, the pending tombstones, and when the last restore was noticed. */
export async function readOpen(
  db: Handle,
): Promise<{ open: number; noticedAt: number | null; pending: Tombstone[] }> {
  const { rows } = await sql<{ open: number; noticed_at: Date | null }>`
    SELECT count(*) FILTER (WHERE reconciled_at IS NULL)::int AS open, max(noticed_at) AS noticed_at
    FROM restores`.execute(db)
  const pending = await db
    .selectFrom('tombstones')
    .select(['kind', 'id', 'owner'])
    .select(sql<number>`floor(extract(epoch FROM ended_at) * 1000)::float8`.as('at'))
    .where('state', '=', 'pending')
    .orderBy('ended_at')
    .orderBy('id')
    .execute()
  const { open = 0, noticed_at: noticedAt = null } = rows[0] ?? {}
  return {
    open,
    noticedAt: noticedAt?.getTime() ?? null,
    pending: pending.map(({ kind, ...row }) => ({ ...row, kind: kind as Tombstone['kind'] })),
  }
}

/** Of these, those that are not stored in any state, in the order in which they ended. */
export async function readUnstored(db: Handle, tombstones: readonly Tombstone[]): Promise<Tombstone[]> {
  if (tombstones.length === 0) return []
  const { rows } = await sql<Tombstone>`
    SELECT t.kind, t.id, t.owner, t.at
    FROM jsonb_to_recordset(${JSON.stringify(tombstones)}::jsonb) AS t (kind text, id text, owner text, at float8)
    WHERE NOT EXISTS (SELECT FROM tombstones AS s
      WHERE s.kind = t.kind AND s.id = t.id AND s.ended_at = to_timestamp(t.at / 1000))
    ORDER BY t.at`.execute(db)
  return rows
}

/**
 * The same, each with the instant of a stored one of the same object that ended at about the same time: the rows of the
 * audit trail are written some moments after the change that they record.
 */
export async function alignWithStored(
  db: Handle,
  tombstones: readonly Tombstone[],
  withinMs: number,
): Promise<Tombstone[]> {
  if (tombstones.length === 0) return []
  const { rows } = await sql<Tombstone>`
    SELECT t.kind, t.id, t.owner, coalesce((
      SELECT floor(extract(epoch FROM s.ended_at) * 1000)::float8 FROM tombstones AS s
      WHERE s.kind = t.kind AND s.id = t.id
        AND abs(extract(epoch FROM s.ended_at) * 1000 - t.at) <= ${withinMs}::float8
      ORDER BY s.ended_at LIMIT 1), t.at) AS at
    FROM jsonb_to_recordset(${JSON.stringify(tombstones)}::jsonb) AS t (kind text, id text, owner text, at float8)
    ORDER BY t.at`.execute(db)
  return rows
}

/**
 * Stores a restore, as part of the open one if there is one: replicas notice the same restore with different memories.
 * The caller holds the lock of the change counter. Returns its id, and the number of tombstones that are new.
 */
export async function insertRestore(
  trx: Handle,
  noticed: { by: string; known: Mark; knownAt: number; found: Mark },
  tombstones: readonly Tombstone[],
): Promise<{ id: string; isNew: boolean; added: number }> {
  const open = await trx
    .selectFrom('restores')
    .select('id')
    .where('reconciled_at', 'is', null)
    .orderBy('noticed_at')
    .limit(1)
    .executeTakeFirst()
  const { id } =
    open ??
    (await trx
      .insertInto('restores')
      .values({
        noticed_by: noticed.by,
        known_id: String(noticed.known.id),
        known_hash: Buffer.from(noticed.known.hash, 'hex'),
        known_at: new Date(noticed.knownAt),
        found_id: String(noticed.found.id),
        found_hash: Buffer.from(noticed.found.hash, 'hex'),
      })
      .returning('id')
      .executeTakeFirstOrThrow())
  const { rows } = await sql<{ id: string }>`
    INSERT INTO tombstones (kind, id, ended_at, owner, restore_id)
    SELECT t.kind, t.id, to_timestamp(t.at / 1000), t.owner, ${id}::uuid
    FROM jsonb_to_recordset(${JSON.stringify(tombstones)}::jsonb) AS t (kind text, id text, owner text, at float8)
    ON CONFLICT DO NOTHING RETURNING id`.execute(trx)
  return { id, isNew: open === undefined, added: rows.length }
}

/** Settles a pending tombstone. False: another process did. */
export async function settleTombstone(
  trx: Handle,
  { kind, id, at }: Tombstone,
  state: 'applied' | 'waived',
  reason: string | null,
): Promise<boolean> {
  const { rows } = await sql`
    UPDATE tombstones SET state = ${state}, reason = ${reason}
    WHERE kind = ${kind} AND id = ${id} AND ended_at = to_timestamp(${at}::float8 / 1000) AND state = 'pending'
    RETURNING id`.execute(trx)
  return rows.length > 0
}

/** Closes the open restores of which nothing is pending. Returns their ids. */
export async function closeRestores(trx: Handle, by: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    UPDATE restores SET reconciled_at = now(), reconciled_by = ${by}
    WHERE reconciled_at IS NULL
      AND NOT EXISTS (SELECT FROM tombstones AS t WHERE t.restore_id = restores.id AND t.state = 'pending')
    RETURNING id`.execute(trx)
  return rows.map(row => row.id)
}
