import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { AnsweredOnce, IdempotencyKey } from './idempotency-key.ts'

const LIFETIME = sql`interval '24 hours'`
/** Longer than it takes to send and store a response. */
const ANSWERING = sql`interval '5 seconds'`

/** The result stored under the key in the last 24 hours. */
export async function findDone(
  db: Handle,
  key: IdempotencyKey,
): Promise<{ bodyDigest: Buffer; fresh: boolean; done: AnsweredOnce } | undefined> {
  const row = await db
    .selectFrom('idempotency_keys')
    .select(['body_digest', 'target_kind', 'target_id', 'answer'])
    .select(sql<boolean>`created_at > now() - ${ANSWERING}`.as('fresh'))
    .where(ofKey(key))
    .where('created_at', '>', sql<Date>`now() - ${LIFETIME}`)
    .executeTakeFirst()
  if (!row) return undefined
  const target = row.target_kind && row.target_id ? { kind: row.target_kind, id: row.target_id } : undefined
  return { bodyDigest: row.body_digest, fresh: row.fresh, done: { target, answer: row.answer ?? undefined } }
}

/** Locks the key until the end of the transaction. False: another transaction has it. */
export async function lockKey(trx: Handle, key: IdempotencyKey): Promise<boolean> {
  const name = JSON.stringify([key.actor, key.method, key.path, key.key])
  const { rows } = await sql<{ locked: boolean }>`
    SELECT pg_try_advisory_xact_lock(hashtextextended(${`mintmark idempotency ${name}`}, 0)) AS locked`.execute(
    trx,
  )
  return rows[0]?.locked ?? false
}

/** Replaces a result older than a day. */
export async function insertDone(
  trx: Handle,
  key: IdempotencyKey,
  target: { kind: string; id: string } | undefined,
): Promise<void> {
  await trx.deleteFrom('idempotency_keys').where(ofKey(key)).execute()
  await trx
    .insertInto('idempotency_keys')
    .values({
      actor: key.actor,
      method: key.method,
      path: key.path,
      key: key.key,
      body_digest: key.bodyDigest,
      target_kind: target?.kind ?? null,
      target_id: target?.id ?? null,
    })
    .execute()
}

export async function setAnswer(db: Handle, key: IdempotencyKey, answer: object): Promise<void> {
  const set = { answer: JSON.stringify(answer) }
  await db.updateTable('idempotency_keys').set(set).where(ofKey(key)).execute()
}

/** Deletes expired results. */
export async function pruneIdempotencyKeys(db: Handle): Promise<void> {
  await db.deleteFrom('idempotency_keys').where('created_at', '<', sql<Date>`now() - ${LIFETIME}`).execute()
}

const ofKey = ({ actor, method, path, key }: IdempotencyKey) =>
  sql<boolean>`actor = ${actor} AND method = ${method} AND path = ${path} AND key = ${key}`
