import { sql } from 'kysely'
import type { SigningAlg } from '../config/config.ts'
import type { Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import type { EncryptedKey } from './key-encryption.ts'
import type { GeneratedKey, SigningKey } from './signing-key.ts'

/** Published keys, each with its encrypted private half. */
export type StoredKey = SigningKey & { encrypted: EncryptedKey | null }

function selectKeys(db: Handle) {
  return db
    .selectFrom('signing_keys')
    .select(['kid', 'alg', 'state', 'public_jwk', 'private_encrypted', 'encryption_key_id'])
    .select(['published_at', 'activates_at', 'retires_at', 'held'])
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
  key: GeneratedKey & { state: 'active' | 'standby'; encrypted: EncryptedKey; now: number },
): Promise<void> {
  const values = {
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    public_jwk: JSON.stringify(key.publicJwk),
    private_encrypted: key.encrypted.bytes,
    encryption_key_id: key.encrypted.encryptionKeyId,
    published_at: new Date(key.now),
    activates_at: key.state === 'active' ? new Date(key.now) : null,
  }
  await trx.insertInto('signing_keys').values(values).execute()
}

/** Each transition is conditional on the state before it, so that it can only happen once and only forward. */
export async function activateKey(trx: Handle, kid: string): Promise<void> {
  const query = trx.updateTable('signing_keys').set({ state: 'active' }).where('state', '=', 'standby')
  await exactlyOne(query.where('kid', '=', kid).executeTakeFirst())
}

export async function retireKey(trx: Handle, kid: string, retiresAt: number): Promise<void> {
  const set = { state: 'retiring' as const, retires_at: new Date(retiresAt) }
  await exactlyOne(
    trx
      .updateTable('signing_keys')
      .set(set)
      .where('kid', '=', kid)
      .where('state', '=', 'active')
      .executeTakeFirst(),
  )
}

/** The private half goes with it: nobody signs with a retiring key any more. */
export async function removeKey(trx: Handle, kid: string, now: number): Promise<void> {
  const set = {
    state: 'removed' as const,
    removed_at: new Date(now),
    private_encrypted: null,
    encryption_key_id: null,
  }
  await exactlyOne(
    trx
      .updateTable('signing_keys')
      .set(set)
      .where('kid', '=', kid)
      .where('state', '=', 'retiring')
      .executeTakeFirst(),
  )
}

export async function scheduleActivation(trx: Handle, kid: string, activatesAt: number): Promise<void> {
  const query = trx
    .updateTable('signing_keys')
    .set({ activates_at: new Date(activatesAt) })
    .where('state', '=', 'standby')
  await exactlyOne(query.where('kid', '=', kid).executeTakeFirst())
}

async function exactlyOne(update: Promise<{ numUpdatedRows: bigint } | undefined>): Promise<void> {
  const changed = (await update)?.numUpdatedRows
  if (changed !== 1n) throw new Error(`a transition of a signing key changed ${changed} rows instead of one`)
}
