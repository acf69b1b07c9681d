import { sql } from 'kysely'
import type { KeyDigest } from '../api-keys/key-digest.ts'
import { isUsable } from '../api-keys/key-state-repository.ts'
import type { Handle } from '../database/database.ts'
import { type Page, type PageRequest, toPage } from '../database/page.ts'
import type { OnPepper } from '../installation/secret-use.ts'
import type { AdminToken } from './admin-token.ts'

function selectTokens(db: Handle) {
  return db
    .selectFrom('admin_tokens')
    .select(['id', 'seq', 'name', 'role', 'tenant_id', 'created_by', 'created_at', 'expires_at'])
    .select(['revoked_at', 'revoked_reason', 'last_used_at', 'audiences'])
}

type Row = Awaited<ReturnType<ReturnType<typeof selectTokens>['executeTakeFirstOrThrow']>>

const toAdminToken = (row: Row): AdminToken => ({
  id: row.id,
  name: row.name,
  role: row.role,
  tenantId: row.tenant_id,
  audiences: row.audiences,
  createdBy: row.created_by,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  revokedAt: row.revoked_at,
  revokedReason: row.revoked_reason,
  lastUsedAt: row.last_used_at,
})

/**
 * Keeps a token from being revoked until the end of the transaction, and returns it with the database time in epoch
 * milliseconds. Several transactions may hold it at once, and its last use may be written meanwhile.
 */
export async function holdAdminToken(
  trx: Handle,
  id: string,
): Promise<{ token: AdminToken; now: number } | undefined> {
  const row = await selectTokens(trx)
    .select(sql<Date>`clock_timestamp()`.as('now'))
    .where('id', '=', id)
    .forKeyShare()
    .executeTakeFirst()
  return row && { token: toAdminToken(row), now: row.now.getTime() }
}

export async function findAdminToken(db: Handle, id: string): Promise<AdminToken | undefined> {
  const row = await selectTokens(db).where('id', '=', id).executeTakeFirst()
  return row && toAdminToken(row)
}

/** Locks the row until the end of the transaction. */
export async function lockAdminToken(trx: Handle, id: string): Promise<AdminToken | undefined> {
  const row = await selectTokens(trx).where('id', '=', id).forUpdate().executeTakeFirst()
  return row && toAdminToken(row)
}

/** The owner of a presented token, its pepper, and the database time in epoch milliseconds. */
export async function findByDigest(
  db: Handle,
  digests: readonly KeyDigest[],
): Promise<{ token: AdminToken; pepperId: string; now: number } | undefined> {
  const row = await selectTokens(db)
    .select(['pepper_id', sql<Date>`clock_timestamp()`.as('now')])
    .where(
      'digest',
      'in',
      digests.map(({ digest }) => digest),
    )
    .executeTakeFirst()
  return row && { token: toAdminToken(row), pepperId: row.pepper_id, now: row.now.getTime() }
}

/** Lists tokens of one tenant, or of all. */
export async function listAdminTokens(
  db: Handle,
  tenantId: string | null,
  { limit, after }: PageRequest,
): Promise<Page<AdminToken>> {
  const rows = await selectTokens(db)
    .$if(tenantId !== null, query => query.where('tenant_id', '=', tenantId))
    .$if(after !== null, query => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  return toPage(rows, limit, toAdminToken)
}

/** Counts tokens of one tenant in any state. */
export async function countAdminTokens(db: Handle, tenantId: string): Promise<number> {
  const { count } = await db
    .selectFrom('admin_tokens')
    .select(eb => eb.fn.countAll<string>().as('count'))
    .where('tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Active tokens that are stored under another pepper than this one, newest first. */
export async function tokensOnOtherPeppers(db: Handle, current: string): Promise<OnPepper[]> {
  const rows = await db
    .selectFrom('admin_tokens')
    .select(['id', 'pepper_id'])
    .where('pepper_id', '<>', current)
    .where(isUsable('admin_tokens'))
    .orderBy('seq', 'desc')
    .execute()
  return rows.map(row => ({ id: row.id, pepper: row.pepper_id }))
}

/** Whether an active token is stored under this pepper. */
export async function hasTokensOnPepper(db: Handle, id: string): Promise<boolean> {
  const row = await db
    .selectFrom('admin_tokens')
    .select('id')
    .where('pepper_id', '=', id)
    .where(isUsable('admin_tokens'))
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

export async function insertAdminToken(
  trx: Handle,
  token: Pick<AdminToken, 'id' | 'name' | 'role' | 'tenantId' | 'audiences' | 'createdBy' | 'expiresAt'> &
    KeyDigest,
): Promise<void> {
  await trx
    .insertInto('admin_tokens')
    .values({
      id: token.id,
      name: token.name,
      role: token.role,
      tenant_id: token.tenantId,
      audiences: token.audiences && [...token.audiences],
      created_by: token.createdBy,
      expires_at: token.expiresAt,
      digest: token.digest,
      pepper_id: token.pepperId,
    })
    .execute()
}

export async function setRevoked(trx: Handle, id: string, reason: string | null): Promise<void> {
  await trx
    .updateTable('admin_tokens')
    .set({ revoked_at: sql<Date>`clock_timestamp()`, revoked_reason: reason })
    .where('id', '=', id)
    .execute()
}

/**
 * At most `most` unrevoked tokens that this one issued, directly or indirectly, oldest first. Excludes the token itself.
 */
export async function findDescendants(db: Handle, id: string, most: number): Promise<AdminToken[]> {
  return (await unrevokedDescendants(db, id, most).execute()).map(toAdminToken)
}

/** Locks them until the end of the transaction. */
export async function lockDescendants(trx: Handle, id: string, most: number): Promise<AdminToken[]> {
  return (await unrevokedDescendants(trx, id, most).forUpdate().execute()).map(toAdminToken)
}

/** Their ids, in any state. */
export async function findDescendantIds(db: Handle, id: string): Promise<string[]> {
  const rows = await db.selectFrom('admin_tokens').select('id').where('id', 'in', descendantsOf(id)).execute()
  return rows.map(row => row.id)
}

const unrevokedDescendants = (db: Handle, id: string, most: number) =>
  selectTokens(db)
    .where('id', 'in', descendantsOf(id))
    .where('revoked_at', 'is', null)
    .orderBy('seq')
    .limit(most)

/** Number of its unrevoked descendants. */
export async function countDescendants(db: Handle, id: string): Promise<number> {
  const { count } = await db
    .selectFrom('admin_tokens')
    .select(eb => eb.fn.countAll<string>().as('count'))
    .where('id', 'in', descendantsOf(id))
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}

const descendantsOf = (id: string) => sql<string>`(WITH RECURSIVE family (id) AS (
    SELECT id FROM admin_tokens WHERE created_by = ${id}
    UNION SELECT issued.id FROM admin_tokens AS issued JOIN family ON issued.created_by = family.id
  ) SELECT id FROM family)`

export async function setLastUsed(db: Handle, id: string): Promise<void> {
  await db.updateTable('admin_tokens').set({ last_used_at: sql<Date>`now()` }).where('id', '=', id).execute()
}

export async function setDigest(trx: Handle, id: string, { digest, pepperId }: KeyDigest): Promise<void> {
  await trx.updateTable('admin_tokens').set({ digest, pepper_id: pepperId }).where('id', '=', id).execute()
}
