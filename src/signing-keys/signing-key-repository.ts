import { sql } from 'kysely'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import type { EncryptedKey } from './key-encryption.ts'
import type { GeneratedKey, SigningKey } from './signing-key.ts'

/** A published key with its encrypted private key. */
export type StoredKey = SigningKey & { encrypted: EncryptedKey | null }

function selectKeys(db: Handle) {
  return db
    .selectFrom('signing_keys')
    .select(['kid', 'alg', 'state', 'public_jwk', 'private_encrypted', 'encryption_key_id'])
    .select(['published_at', 'activates_at', 'retires_at', 'forgets_at', 'held'])
    .where('state', '<>', 'removed')
    .orderBy('published_at')
    .orderBy('kid')
}

type Row = Awaited<ReturnType<ReturnType<typeof selectKeys>['executeTakeFirstOrThrow']>>

const toStoredKey = (row: Row): StoredKey => ({
  kid: row.kid,
  alg: row.alg as SigningAlg,
  state: row.state,
  publicJwk: row.public_jwk,
  publishedAt: row.published_at.getTime(),
  activatesAt: row.activates_at?.getTime() ?? null,
  retiresAt: row.retires_at?.getTime() ?? null,
  forgetsAt: row.forgets_at?.getTime() ?? null,
  held: row.held,
  encrypted:
    row.private_encrypted && row.encryption_key_id !== null
      ? { bytes: row.private_encrypted, encryptionKeyId: row.encryption_key_id }
      : null,
})

export async function publishedKeys(db: Handle): Promise<StoredKey[]> {
  return (await selectKeys(db).execute()).map(toStoredKey)
}

/** Makes every other process that would change signing keys wait until the end of the transaction. */
export async function lockSigningKeys(trx: Handle): Promise<{ now: number }> {
  await sql`SELECT FROM installation FOR UPDATE`.execute(trx)
  return { now: await databaseNow(trx) }
}

export async function insertSigningKey(
  trx: Handle,
  key: GeneratedKey & {
    state: 'active' | 'standby'
    activatesAt: number | null
    encrypted: EncryptedKey
    now: number
  },
): Promise<void> {
  const values = {
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    public_jwk: JSON.stringify(key.publicJwk),
    private_encrypted: key.encrypted.bytes,
    encryption_key_id: key.encrypted.encryptionKeyId,
    published_at: new Date(key.now),
    activates_at: key.activatesAt === null ? null : new Date(key.activatesAt),
  }
  await trx.insertInto('signing_keys').values(values).execute()
}

/** Each transition is conditional on the previous state, so that it happens only once and only forward. */
export async function activateKey(trx: Handle, kid: string, activatesAt: number): Promise<void> {
  const set = { state: 'active' as const, activates_at: new Date(activatesAt), held: false }
  await exactlyOne(update(trx, kid, ['standby']).set(set).executeTakeFirst())
}

/** A standby of a removed algorithm retires too: a replica without the database may activate it on schedule. */
export async function retireKey(
  trx: Handle,
  kid: string,
  times: { retiresAt: number; forgetsAt: number },
): Promise<void> {
  const set = {
    state: 'retiring' as const,
    activates_at: sql<Date | null>`CASE WHEN state = 'active' THEN activates_at END`,
    retires_at: new Date(times.retiresAt),
    forgets_at: new Date(times.forgetsAt),
    held: false,
  }
  await exactlyOne(update(trx, kid, ['active', 'standby']).set(set).executeTakeFirst())
}

const WITHOUT_PRIVATE_HALF = { private_encrypted: null, encryption_key_id: null, forgets_at: null }

export async function forgetKey(trx: Handle, kid: string): Promise<void> {
  await exactlyOne(update(trx, kid, ['retiring']).set(WITHOUT_PRIVATE_HALF).executeTakeFirst())
}

export async function removeKey(trx: Handle, kid: string, now: number): Promise<void> {
  const set = { state: 'removed' as const, removed_at: new Date(now), ...WITHOUT_PRIVATE_HALF }
  await exactlyOne(update(trx, kid, ['retiring']).set(set).executeTakeFirst())
}

/** From any published state. */
export async function revokeKey(trx: Handle, kid: string, now: number, reason: string): Promise<void> {
  const at = new Date(now)
  const set = {
    state: 'removed' as const,
    removed_at: at,
    revoked_at: at,
    revoked_reason: reason,
    held: false,
  }
  const query = update(trx, kid, ['active', 'standby', 'retiring']).set({ ...set, ...WITHOUT_PRIVATE_HALF })
  await exactlyOne(query.executeTakeFirst())
}

export async function scheduleActivation(
  trx: Handle,
  kid: string,
  activatesAt: number | null,
): Promise<void> {
  const set = { activates_at: activatesAt === null ? null : new Date(activatesAt) }
  await exactlyOne(update(trx, kid, ['standby']).set(set).executeTakeFirst())
}

export async function holdKey(trx: Handle, kid: string, held: boolean): Promise<void> {
  await exactlyOne(update(trx, kid, ['active', 'standby', 'retiring']).set({ held }).executeTakeFirst())
}

/** Replaces the encrypted private key by one under another encryption key. */
export async function replaceEncryption(
  trx: Handle,
  kid: string,
  before: EncryptedKey,
  after: EncryptedKey,
): Promise<void> {
  const set = { private_encrypted: after.bytes, encryption_key_id: after.encryptionKeyId }
  const query = trx.updateTable('signing_keys').set(set).where('kid', '=', kid)
  await exactlyOne(query.where('encryption_key_id', '=', before.encryptionKeyId).executeTakeFirst())
}

/** When and why the key was revoked; undefined when it was not. */
export async function findRevocation(
  db: Handle,
  kid: string,
): Promise<{ revokedAt: Date; reason: string } | undefined> {
  const row = await db
    .selectFrom('signing_keys')
    .select(['revoked_at', 'revoked_reason'])
    .where('kid', '=', kid)
    .executeTakeFirst()
  return row?.revoked_at ? { revokedAt: row.revoked_at, reason: row.revoked_reason ?? '' } : undefined
}

const update = (trx: Handle, kid: string, from: readonly SigningKey['state'][]) =>
  trx.updateTable('signing_keys').where('kid', '=', kid).where('state', 'in', from)

async function exactlyOne(changed: Promise<{ numUpdatedRows: bigint } | undefined>): Promise<void> {
  const count = (await changed)?.numUpdatedRows
  if (count !== 1n) throw new Error(`a transition of a signing key changed ${count} rows instead of one`)
}
