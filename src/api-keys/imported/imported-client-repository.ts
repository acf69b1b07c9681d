import { sql } from 'kysely'
import type { Handle } from '../../database/database.ts'
import { Unavailable } from '../../errors.ts'
import { readInstallation } from '../../installation/installation.ts'
import type { RowFault, RowSeals } from '../../installation/row-seals.ts'
import { boundedHash, boundedSeal, boundedSealedWith } from './imported-column-repository.ts'
import type { ImportedHash } from './imported-hash.ts'
import { importedFault, type StoredImportedSecret, sealImported } from './imported-secret-seal.ts'
import { LOOKUP_SCHEME } from './lookup-secret.ts'

/** Of one revocation: its keys have at most two each. */
const MOST_OF_KEYS = 2_000

/** The secret without a client_id that has this hash, in any state: a hash is imported once. */
export async function findLookups(
  db: Handle,
  hashes: readonly string[],
): Promise<Map<string, { clientId: string; keyId: string; secretId: string }>> {
  if (hashes.length === 0) return new Map()
  const rows = await db
    .selectFrom('api_key_secrets')
    .select(['id', 'key_id', 'client_id', 'hash'])
    .where('scheme', '=', LOOKUP_SCHEME)
    .where('hash', 'in', [...hashes])
    .execute()
  return new Map(
    rows.map(({ id, key_id, client_id, hash }) => [
      hash ?? '',
      { clientId: client_id ?? '', keyId: key_id, secretId: id },
    ]),
  )
}

export interface StoredImport extends ImportedHash {
  clientId: string
  keyId: string
  tenantId: string
  /** The row is not genuine, and not used. */
  fault: RowFault | undefined
}

function selectSecrets(db: Handle) {
  return db
    .selectFrom('api_key_secrets as s')
    .select(['s.id', 's.key_id', 's.client_id', 's.scheme', 's.ends_at', 's.revoked_at'])
    .select([boundedHash.as('hash'), boundedSealedWith.as('sealed_with'), boundedSeal.as('seal')])
    .where('s.client_id', 'is not', null)
}

type Row = Awaited<ReturnType<ReturnType<typeof selectSecrets>['executeTakeFirstOrThrow']>>

/** A constraint has all three or none. */
const toSecret = (row: Row): StoredImportedSecret => ({
  id: row.id,
  keyId: row.key_id,
  clientId: row.client_id ?? '',
  scheme: row.scheme ?? 'bcrypt',
  hash: row.hash ?? '',
  endsAt: epochMs(row.ends_at),
  revokedAt: epochMs(row.revoked_at),
  sealedWith: row.sealed_with,
  seal: row.seal,
})

/** Of a row that is not genuine, pg returns a number for an infinite instant. */
const epochMs = (instant: Date | number | null) => (instant === null ? null : Number(instant))

/** The imported clients with these client_ids, including ended and revoked ones. */
export async function findImported(
  db: Handle,
  seals: RowSeals,
  clientIds: readonly string[],
): Promise<Map<string, StoredImport>> {
  const rows = await selectSecrets(db)
    .innerJoin('api_keys as k', 'k.id', 's.key_id')
    .select('k.tenant_id')
    .where('s.client_id', 'in', [...clientIds])
    .execute()
  const { recorded } = await readInstallation(db)
  return new Map(
    rows.map(row => {
      const secret = toSecret(row)
      const { clientId, keyId, scheme, hash } = secret
      const fault = importedFault(secret, seals, recorded)
      return [clientId, { clientId, keyId, tenantId: row.tenant_id, scheme, hash, fault }]
    }),
  )
}

interface NewImport extends ImportedHash {
  id: string
  keyId: string
  clientId: string
  createdBy: string
  endsAt: Date | null
}

export async function insertImported(
  trx: Handle,
  seals: RowSeals,
  secrets: readonly NewImport[],
): Promise<void> {
  const rows = secrets.map(secret => ({
    id: secret.id,
    key_id: secret.keyId,
    client_id: secret.clientId,
    created_by: secret.createdBy,
    scheme: secret.scheme,
    hash: secret.hash,
    ends_at: secret.endsAt,
    ...sealColumns(seals, { ...secret, endsAt: secret.endsAt?.getTime() ?? null, revokedAt: null }),
  }))
  await trx.insertInto('api_key_secrets').values(rows).execute()
}

/**
 * Sets the end of an imported secret, unless it ends earlier, or revokes it now, and seals the row again. One that is not
 * genuine can only be revoked, and loses its seal.
 */
export async function restrictImported(
  trx: Handle,
  seals: RowSeals,
  id: string,
  change: { endsAt: Date } | 'revoke',
): Promise<void> {
  const row = await selectSecrets(trx).where('s.id', '=', id).forUpdate().executeTakeFirst()
  if (!row) return
  const before = toSecret(row)
  const { recorded } = await readInstallation(trx)
  const now = await sql<{ now: Date }>`SELECT date_trunc('milliseconds', clock_timestamp()) AS now`.execute(
    trx,
  )
  const after = {
    ...before,
    ...(change === 'revoke'
      ? { revokedAt: epochMs(now.rows[0]?.now ?? null) }
      : { endsAt: Math.min(before.endsAt ?? Number.POSITIVE_INFINITY, change.endsAt.getTime()) }),
  }
  const fault = importedFault(before, seals, recorded)
  // Other replicas accept the secret, so it would not end.
  if (fault === 'lacking_key' && change !== 'revoke')
    throw new Unavailable('This replica lacks the key of the seal of this secret. Retry on another replica.')
  const genuine = fault === undefined
  if (!genuine && change !== 'revoke') return
  const sealed = genuine ? sealColumns(seals, after) : { sealed_with: null, seal: null }
  if (genuine && row.seal?.equals(sealed.seal ?? NO_SEAL)) return
  await trx
    .updateTable('api_key_secrets')
    .set({ ends_at: date(after.endsAt), revoked_at: date(after.revokedAt), ...sealed })
    .where('id', '=', id)
    .execute()
}

const NO_SEAL = Buffer.alloc(0)
const date = (ms: number | null) => (ms === null ? null : new Date(ms))

const sealColumns = (seals: RowSeals, secret: Parameters<typeof sealImported>[1]) => {
  const { sealedWith, seal } = sealImported(seals, secret)
  return { sealed_with: sealedWith, seal }
}

/**
 * The imported secrets of these keys that are not revoked, the oldest first: a key has two that can be used, and what
 * was forged is newer.
 */
export async function importedOfKeys(
  trx: Handle,
  keyIds: readonly string[],
): Promise<StoredImportedSecret[]> {
  const rows = await selectSecrets(trx)
    .where('s.key_id', 'in', [...keyIds])
    .where('s.revoked_at', 'is', null)
    .orderBy('s.seq')
    .limit(MOST_OF_KEYS)
    .forUpdate()
    .execute()
  return rows.map(toSecret)
}

/** Revokes rows, at `now` in epoch milliseconds, that cannot be sealed here. */
export async function unsealImported(trx: Handle, ids: readonly string[], now: number): Promise<void> {
  if (ids.length === 0) return
  await trx
    .updateTable('api_key_secrets')
    .set({ revoked_at: new Date(now), sealed_with: null, seal: null })
    .where('id', 'in', [...ids])
    .execute()
}

/** A page of the rows that are sealed with something else than `sealedWith`, or not at all, by id. */
export async function importedSealedOtherwise(
  db: Handle,
  page: { sealedWith: string; after: string; limit: number; lock: boolean },
): Promise<StoredImportedSecret[]> {
  const rows = await selectSecrets(db)
    .where(sql<boolean>`s.sealed_with IS DISTINCT FROM ${page.sealedWith}`)
    .where('s.id', '>', page.after)
    .orderBy('s.id')
    .limit(page.limit)
    .$if(page.lock, query => query.forUpdate())
    .execute()
  return rows.map(toSecret)
}

/**
 * Seals rows as they are, or as revoked at `revokedAt`, in epoch milliseconds, unless they were earlier. The caller has
 * checked that they are genuine.
 */
export async function sealImportedRows(
  trx: Handle,
  seals: RowSeals,
  secrets: readonly StoredImportedSecret[],
  revokedAt: number | null = null,
): Promise<void> {
  if (secrets.length === 0) return
  const at = revokedAt === null ? null : Math.floor(revokedAt)
  const sealed = secrets.map(
    secret => sealImported(seals, { ...secret, revokedAt: secret.revokedAt ?? at }).seal,
  )
  await sql`
    UPDATE api_key_secrets AS s SET sealed_with = ${seals.current}, seal = sealed.seal,
      revoked_at = coalesce(s.revoked_at, ${date(at)}::timestamptz)
    FROM unnest(${secrets.map(({ id }) => id)}::text[], ${sealed}::bytea[]) AS sealed (id, seal)
    WHERE s.id = sealed.id`.execute(trx)
}

/**
 * Those of the secrets that were revoked, or whose key was: by the key's row or by the audit trail, to which the
 * application's role can add rows, and of which it can remove none.
 */
export async function revokedAmong(db: Handle, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`
    SELECT s.id FROM api_key_secrets AS s JOIN api_keys AS k ON k.id = s.key_id
    WHERE s.id = ANY (${[...ids]}::text[]) AND (s.revoked_at IS NOT NULL OR k.revoked_at IS NOT NULL OR EXISTS (
      SELECT FROM audit_events AS e WHERE e.target_kind = 'key' AND e.target_id = s.key_id AND e.outcome = 'done'
        AND (e.action = 'key.revoke' OR e.action = 'key.secret-revoke' AND e.changes -> 'secretId' ->> 'to' = s.id)))`.execute(
    db,
  )
  return new Set(rows.map(({ id }) => id))
}
