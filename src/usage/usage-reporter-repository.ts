import { sql } from 'kysely'
import type { KeyDigest } from '../api-keys/key-digest.ts'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import type { OnPepper } from '../installation/secret-use.ts'
import type { LiveReporter, UsageReporter } from './usage-reporter.ts'

const selectReporters = (db: Handle) =>
  db
    .selectFrom('usage_reporters')
    .select(['id', 'seq', 'name', 'audiences', 'created_by', 'created_at', 'deleted_at', 'secret_id'])
    .select(eb =>
      eb
        .selectFrom('usage_reporter_secrets as s')
        .whereRef('s.reporter_id', '=', 'usage_reporters.id')
        .select(of => of.fn.max('s.ends_at').as('ends_at'))
        .as('older_ends_at'),
    )

type Row = Awaited<ReturnType<ReturnType<typeof selectReporters>['executeTakeFirstOrThrow']>>

const toReporter = (row: Row): UsageReporter => ({
  id: row.id,
  name: row.name,
  audiences: row.audiences,
  createdBy: row.created_by,
  createdAt: row.created_at,
  secretId: row.secret_id,
  olderSecretEndsAt: row.older_ends_at,
  deletedAt: row.deleted_at,
})

export async function findReporter(db: Handle, id: string): Promise<UsageReporter | undefined> {
  const row = await selectReporters(db).where('id', '=', id).executeTakeFirst()
  return row && toReporter(row)
}

/** Locks the row until the end of the transaction. */
export async function lockReporter(trx: Handle, id: string): Promise<UsageReporter | undefined> {
  const row = await selectReporters(trx).where('id', '=', id).forUpdate().executeTakeFirst()
  return row && toReporter(row)
}

export async function listReporters(db: Handle, { limit, after }: PageRequest): Promise<Page<UsageReporter>> {
  const rows = await selectReporters(db)
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toReporter)
}

/** Number of reporters that are not deleted. */
export async function countReporters(db: Handle): Promise<number> {
  const { count } = await db
    .selectFrom('usage_reporters')
    .select(eb => eb.fn.countAll<string>().as('count'))
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}

export async function insertReporter(
  trx: Handle,
  reporter: Pick<UsageReporter, 'id' | 'name' | 'audiences' | 'createdBy'> & KeyDigest,
): Promise<void> {
  await trx
    .insertInto('usage_reporters')
    .values({
      id: reporter.id,
      name: reporter.name,
      audiences: [...reporter.audiences],
      created_by: reporter.createdBy,
      digest: reporter.digest,
      pepper_id: reporter.pepperId,
    })
    .execute()
}

export async function setDeleted(trx: Handle, id: string): Promise<void> {
  await trx
    .updateTable('usage_reporters')
    .set({ deleted_at: sql<Date>`clock_timestamp()` })
    .where('id', '=', id)
    .execute()
}

/** All that are not deleted, with each of their secrets: administrators create them, at most MOST_REPORTERS with two each. */
export async function liveReporters(db: Handle): Promise<LiveReporter[]> {
  const { rows } = await sql<LiveReporter>`
    SELECT u.id, u.audiences, s.id AS "secretId", encode(s.digest, 'base64') AS digest, s.pepper_id AS "pepperId",
      floor(extract(epoch FROM s.ends_at) * 1000)::float8 AS "endsAt"
    FROM usage_reporters AS u JOIN (${secrets}) AS s ON s.reporter_id = u.id
    WHERE u.deleted_at IS NULL`.execute(db)
  return rows
}

/** Those that may be valid, of reporters that may be deleted. */
const secrets = sql`
  SELECT secret_id AS id, id AS reporter_id, digest, pepper_id, NULL::timestamptz AS ends_at FROM usage_reporters
  UNION ALL
  SELECT id, reporter_id, digest, pepper_id, ends_at FROM usage_reporter_secrets WHERE ends_at > now()`

/** Stores the secret under another pepper. */
export async function setReporterDigest(
  trx: Handle,
  secretId: string,
  { digest, pepperId }: KeyDigest,
): Promise<void> {
  const stored = { digest, pepper_id: pepperId }
  await trx.updateTable('usage_reporters').set(stored).where('secret_id', '=', secretId).execute()
  await trx.updateTable('usage_reporter_secrets').set(stored).where('id', '=', secretId).execute()
}

/** The older secret that is still valid, if there is one, with the database time in epoch milliseconds. */
export async function olderSecret(
  trx: Handle,
  reporterId: string,
): Promise<{ now: number; older: string | undefined }> {
  const { rows } = await sql<{ now: number; older: string | null }>`
    SELECT floor(extract(epoch FROM now()) * 1000)::float8 AS now, (
      SELECT id FROM usage_reporter_secrets WHERE reporter_id = ${reporterId} AND ends_at > now() ORDER BY ends_at DESC LIMIT 1
    ) AS older`.execute(trx)
  const [row] = rows
  return { now: row?.now ?? 0, older: row?.older ?? undefined }
}

/** The reporter with one of these digests, in any state, and when that secret ends or ended; null: it is the newest one. */
export async function findSecretOf(
  db: Handle,
  digests: readonly KeyDigest[],
): Promise<{ reporterId: string; secretId: string; endsAt: Date | null } | undefined> {
  const { rows } = await sql<{ reporterId: string; secretId: string; endsAt: Date | null }>`
    SELECT reporter_id AS "reporterId", id AS "secretId", ends_at AS "endsAt" FROM (
      SELECT secret_id AS id, id AS reporter_id, digest, NULL::timestamptz AS ends_at FROM usage_reporters
      UNION ALL SELECT id, reporter_id, digest, ends_at FROM usage_reporter_secrets
    ) AS s WHERE digest = ANY (${digests.map(({ digest }) => digest)}::bytea[])`.execute(db)
  return rows[0]
}

/** Of a rotation. */
export type NewSecret = { secretId: string } & KeyDigest

/** The newest secret becomes an older one that ends at this time, and this one takes its place. */
export async function replaceSecret(
  trx: Handle,
  { id, secretId }: Pick<UsageReporter, 'id' | 'secretId'>,
  endsAt: Date,
  next: NewSecret,
): Promise<void> {
  await sql`
    INSERT INTO usage_reporter_secrets (id, reporter_id, digest, pepper_id, ends_at)
    SELECT secret_id, id, digest, pepper_id, ${endsAt} FROM usage_reporters WHERE secret_id = ${secretId}`.execute(
    trx,
  )
  await trx
    .updateTable('usage_reporters')
    .set({ later_secret_id: next.secretId, digest: next.digest, pepper_id: next.pepperId })
    .where('id', '=', id)
    .execute()
}

/** Of an older secret. */
export async function setReporterSecretEnd(trx: Handle, secretId: string, endsAt: Date): Promise<void> {
  await trx
    .updateTable('usage_reporter_secrets')
    .set({ ends_at: endsAt })
    .where('id', '=', secretId)
    .execute()
}

/** Reporters that are not deleted and have a secret under another pepper than this one, newest first. */
export async function reportersOnOtherPeppers(db: Handle, current: string): Promise<OnPepper[]> {
  const { rows } = await sql<OnPepper>`
    SELECT u.id, s.pepper_id AS pepper FROM usage_reporters AS u JOIN (${secrets}) AS s ON s.reporter_id = u.id
    WHERE s.pepper_id <> ${current} AND u.deleted_at IS NULL ORDER BY u.seq DESC`.execute(db)
  return rows
}

/** Whether a secret of a reporter that is not deleted is stored under this pepper. */
export async function hasReportersOnPepper(db: Handle, id: string): Promise<boolean> {
  const { rows } = await sql`
    SELECT FROM usage_reporters AS u JOIN (${secrets}) AS s ON s.reporter_id = u.id
    WHERE s.pepper_id = ${id} AND u.deleted_at IS NULL LIMIT 1`.execute(db)
  return rows.length > 0
}
