import { sql } from 'kysely'
import type { KeyDigest } from '../api-keys/key-digest.ts'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import type { OnPepper } from '../installation/secret-use.ts'
import type { LiveReporter, UsageReporter } from './usage-reporter.ts'

const selectReporters = (db: Handle) =>
  db
    .selectFrom('usage_reporters')
    .select(['id', 'seq', 'name', 'audiences', 'created_by', 'created_at', 'deleted_at'])

type Row = Awaited<ReturnType<ReturnType<typeof selectReporters>['executeTakeFirstOrThrow']>>

const toReporter = (row: Row): UsageReporter => ({
  id: row.id,
  name: row.name,
  audiences: row.audiences,
  createdBy: row.created_by,
  createdAt: row.created_at,
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

/** All that are not deleted: administrators create them, at most MOST_REPORTERS. */
export async function liveReporters(db: Handle): Promise<LiveReporter[]> {
  const rows = await db
    .selectFrom('usage_reporters')
    .select(['id', 'audiences', 'digest', 'pepper_id'])
    .where('deleted_at', 'is', null)
    .execute()
  return rows.map(row => ({
    id: row.id,
    audiences: row.audiences,
    digest: row.digest.toString('base64'),
    pepperId: row.pepper_id,
  }))
}

/** Stores the secret under another pepper. */
export async function setReporterDigest(
  trx: Handle,
  id: string,
  { digest, pepperId }: KeyDigest,
): Promise<void> {
  await trx.updateTable('usage_reporters').set({ digest, pepper_id: pepperId }).where('id', '=', id).execute()
}

/** Reporters that are not deleted and stored under another pepper than this one, newest first. */
export async function reportersOnOtherPeppers(db: Handle, current: string): Promise<OnPepper[]> {
  const rows = await db
    .selectFrom('usage_reporters')
    .select(['id', 'pepper_id'])
    .where('pepper_id', '<>', current)
    .where('deleted_at', 'is', null)
    .orderBy('seq', 'desc')
    .execute()
  return rows.map(row => ({ id: row.id, pepper: row.pepper_id }))
}

/** Whether a reporter that is not deleted is stored under this pepper. */
export async function hasReportersOnPepper(db: Handle, id: string): Promise<boolean> {
  const row = await db
    .selectFrom('usage_reporters')
    .select('id')
    .where('pepper_id', '=', id)
    .where('deleted_at', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}
