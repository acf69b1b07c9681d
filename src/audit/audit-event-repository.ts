import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import { walkSpans } from '../database/spans.ts'
import type { AuditRow, ChainHead } from './audit-chain.ts'

/** The rows to read. Instants are RFC 3339. */
export interface AuditFilter {
  actor?: string | undefined
  action?: string | undefined
  target?: string | undefined
  tenant?: string | undefined
  /** At this instant or later. */
  from?: string | undefined
  /** Before this instant. */
  to?: string | undefined
}

/** The ends of the chain: its cut, its head, the last row's position, and the instant of reading. */
export interface ChainEnds {
  /** The last row that retention deleted. */
  cut: ChainHead
  head: ChainHead
  lastId: number
  at: string
}

const instant = (column: RawBuilder<unknown>) =>
  sql<string>`to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

/** Locks and returns the head, until the end of the transaction, and the instant of rows that are chained now. */
export async function lockHead(trx: Handle): Promise<{ head: ChainHead; at: string }> {
  const { rows } = await sql<{ id: string; hash: string; at: string }>`
    SELECT audit_id AS id, encode(audit_hash, 'hex') AS hash, ${instant(sql`clock_timestamp()`)} AS at
    FROM change_counter FOR UPDATE`.execute(trx)
  const [row] = rows
  if (!row) throw new Error('the change counter has no row')
  return { head: { id: Number(row.id), hash: row.hash }, at: row.at }
}

/** Appends rows and moves the head to the last of them, in one statement. */
export async function appendRows(trx: Handle, rows: readonly AuditRow[]): Promise<void> {
  const last = rows.at(-1)
  if (!last) return
  await sql`
    WITH head AS (UPDATE change_counter SET audit_id = ${last.id}, audit_hash = decode(${last.hash}, 'hex'))
    INSERT INTO audit_events (id, at, actor, action, outcome, target_kind, target_id, tenant_id, request_id, source,
      changes, previous_hash, hash)
    SELECT id, at, actor, action, outcome, target_kind, target_id, tenant, request_id, source, changes,
      decode(previous_hash, 'hex'), decode(hash, 'hex')
    FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS row (id bigint, at timestamptz, actor text, action text,
      outcome text, target_kind text, target_id text, tenant text, request_id text, source text, changes jsonb,
      previous_hash text, hash text)`.execute(trx)
}

/** Read in one statement. */
export async function chainEnds(db: Handle): Promise<ChainEnds> {
  const { rows } = await sql<{ cut: ChainHead; head: ChainHead; last_id: number; at: string }>`
    SELECT json_build_object('id', audit_cut_id, 'hash', encode(audit_cut_hash, 'hex')) AS cut,
      json_build_object('id', audit_id, 'hash', encode(audit_hash, 'hex')) AS head,
      (SELECT coalesce(max(id), 0) FROM audit_events)::float8 AS last_id, ${instant(sql`now()`)} AS at
    FROM change_counter`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the change counter has no row')
  return { cut: row.cut, head: row.head, lastId: row.last_id, at: row.at }
}

type Place = { after: number; upTo?: number | undefined } | { before: number | null }

/**
 * Rows after a position, oldest first, or before one, newest first. A time range is searched by spans
 * (database/spans.ts): an index of the other filters would read everything newer.
 */
export async function readRows(
  db: Handle,
  place: Place,
  limit: number,
  filter: AuditFilter = {},
): Promise<AuditRow[]> {
  const forward = 'after' in place
  const lowest = forward ? place.after + 1 : undefined
  const highest = forward ? place.upTo : place.before === null ? undefined : place.before - 1
  const order = forward ? 'ASC' : 'DESC'
  const walk = { table: 'audit_events', place: 'id', lowest, highest, order, limit } as const
  const condition =
    filter.from === undefined && filter.to === undefined
      ? sql`${bounds(lowest, highest)} AND ${matches(filter)}`
      : sql`id IN (${walkSpans({ ...walk, conditions: () => matches(filter) })})`
  const { rows } = await sql<Omit<AuditRow, 'id'> & { id: string }>`
    SELECT id, ${instant(sql`at`)} AS at, actor, action, outcome, target_kind, target_id, tenant_id AS tenant,
      request_id, source, changes, encode(previous_hash, 'hex') AS previous_hash, encode(hash, 'hex') AS hash
    FROM audit_events WHERE ${condition} ORDER BY id ${forward ? sql`ASC` : sql`DESC`} LIMIT ${limit}`.execute(
    db,
  )
  return rows.map(row => ({ ...row, id: Number(row.id) }))
}

function bounds(lowest: number | undefined, highest: number | undefined): RawBuilder<unknown> {
  const found = [sql`true`]
  if (lowest !== undefined) found.push(sql`id >= ${lowest}`)
  if (highest !== undefined) found.push(sql`id <= ${highest}`)
  return sql.join(found, sql` AND `)
}

function matches(filter: AuditFilter): RawBuilder<unknown> {
  const found = [sql`true`]
  const add = (value: unknown, condition: RawBuilder<unknown>) => {
    if (value !== undefined) found.push(condition)
  }
  add(filter.actor, sql`actor = ${filter.actor}`)
  add(filter.action, sql`action = ${filter.action}`)
  add(filter.target, sql`target_id = ${filter.target}`)
  add(filter.tenant, sql`tenant_id = ${filter.tenant}`)
  add(filter.from, sql`at >= ${filter.from}::timestamptz`)
  add(filter.to, sql`at < ${filter.to}::timestamptz`)
  return sql.join(found, sql` AND `)
}

/** Signed statements about the chain, oldest first. */
export async function readCheckpoints(db: Handle): Promise<string[]> {
  const rows = await db.selectFrom('audit_checkpoints').select('jws').orderBy('id').execute()
  return rows.map(row => row.jws)
}

/** False when a checkpoint of this head exists. */
export async function insertCheckpoint(trx: Handle, head: ChainHead, jws: string): Promise<boolean> {
  const checkpoint = await trx
    .insertInto('audit_checkpoints')
    .values({ id: String(head.id), jws })
    .onConflict(conflict => conflict.doNothing())
    .returning('id')
    .executeTakeFirst()
  return checkpoint !== undefined
}

/** As the owner: deletes at most `most` rows older than so many days. Returns their number and the new cut. */
export async function pruneRows(
  trx: Handle,
  options: { olderThanDays: number; most: number },
): Promise<{ pruned: number; cut: ChainHead }> {
  const { rows } = await sql<{ pruned: string; id: string; hash: string }>`
    SELECT pruned, cut_id AS id, encode(cut_hash, 'hex') AS hash
    FROM prune_audit_events(make_interval(days => ${options.olderThanDays}), ${options.most})`.execute(trx)
  const [row] = rows
  if (!row) throw new Error('the pruning function answered nothing')
  return { pruned: Number(row.pruned), cut: { id: Number(row.id), hash: row.hash } }
}

/** Which of these actions the trail has of each target. */
export async function findRecordedActions(
  db: Handle,
  targetKind: string,
  targetIds: readonly string[],
  actions: readonly string[],
): Promise<Map<string, string[]>> {
  const { rows } = await sql<{ target_id: string; actions: string[] }>`
    SELECT target_id, array_agg(DISTINCT action) AS actions FROM audit_events
    WHERE target_kind = ${targetKind} AND target_id = ANY (${[...targetIds]}::text[])
      AND action = ANY (${[...actions]}::text[]) AND outcome = 'done'
    GROUP BY target_id`.execute(db)
  return new Map(rows.map(row => [row.target_id, row.actions]))
}

/**
 * Of these targets, those that the trail has as sealed: by one of the actions `always`, or by one of `since`, which seal since
 * rows that grant trust have seals. The application's role can add rows to the trail, and remove none.
 */
export async function findSealed(
  db: Handle,
  targetKind: string,
  targetIds: readonly string[],
  actions: { always: readonly string[]; since: readonly string[] },
): Promise<Set<string>> {
  const { rows } = await sql<{ target_id: string }>`
    SELECT DISTINCT e.target_id FROM audit_events AS e, sealed_since AS since
    WHERE e.target_kind = ${targetKind} AND e.target_id = ANY (${[...targetIds]}::text[]) AND e.outcome = 'done'
      AND (e.action = ANY (${[...actions.always]}::text[])
        OR e.action = ANY (${[...actions.since]}::text[]) AND e.id > since.audit_id)`.execute(db)
  return new Set(rows.map(row => row.target_id))
}
