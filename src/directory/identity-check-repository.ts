import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { SealedCredentialRow, SealedProviderRow } from '../identity-providers/identity-seals.ts'
import type { RecordedIds } from '../installation/row-seals.ts'

export interface IdentityPage {
  rows: (SealedProviderRow | SealedCredentialRow)[]
  recorded: RecordedIds
  /** The oldest transaction that was open: rows of older ones are visible. */
  openSince: string
  /** The id after which the next page begins; null: this is the last. */
  last: string | null
}

interface Listed {
  id: string
  keyId?: string
  providerId?: string | null
  definition: string
  sealedWith: string
  seal: string
}

/**
 * A page of the identity providers and credentials that were written by transaction `writtenSince` or a later one, and
 * of the `known` ones, by id: as `changedImports`.
 */
export async function changedIdentities(
  db: Handle,
  page: { writtenSince: string | null; known: readonly string[]; after: string; limit: number },
): Promise<IdentityPage> {
  const { writtenSince, known, after, limit } = page
  const isChanged = sql`id > ${after} AND (id = ANY (${[...known]}::text[])
    OR ${writtenSince}::text IS NULL OR ${writtenSince}::text::xid8 > clock.open_since
    OR age(written.xmin) <= age(${writtenSince}::text::xid8::xid))`
  const sealed = sql`'definition', definition, 'sealedWith', sealed_with, 'seal', encode(seal, 'base64')`
  const { rows } = await sql<{
    open_since: string
    encryption_keys: string[]
    peppers: string[]
    current: RecordedIds['current'] | null
    listed: Listed[]
  }>`
    WITH clock AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS open_since)
    SELECT clock.open_since::text AS open_since,
      (SELECT array_agg(name) FROM installation, jsonb_object_keys(encryption_key_checks) AS name) AS encryption_keys,
      (SELECT array_agg(name) FROM installation, jsonb_object_keys(pepper_checks) AS name) AS peppers,
      (SELECT json_build_object('encryptionKey', current_encryption_key, 'pepper', current_pepper) FROM installation) AS current,
      (SELECT coalesce(json_agg(one.listed), '[]') FROM (
        (SELECT id, json_build_object('id', id, ${sealed}) AS listed
          FROM identity_providers AS written WHERE ${isChanged} ORDER BY id LIMIT ${limit})
        UNION ALL
        (SELECT id, json_build_object('id', id, 'keyId', key_id, 'providerId', provider_id, ${sealed}) AS listed
          FROM key_credentials AS written WHERE ${isChanged} ORDER BY id LIMIT ${limit})
        ORDER BY id LIMIT ${limit}) AS one) AS listed
    FROM clock`.execute(db)
  const row = rows[0]
  if (!row) throw new Error('a query that has one row had none')
  return {
    rows: row.listed.map(toRow),
    recorded: {
      encryptionKeys: row.encryption_keys ?? [],
      peppers: row.peppers ?? [],
      current: row.current ?? undefined,
    },
    openSince: row.open_since,
    last: row.listed.length < limit ? null : (row.listed.at(-1)?.id ?? null),
  }
}

function toRow({ id, keyId, providerId, definition, sealedWith, seal }: Listed) {
  const common = { id, definition, sealed_with: sealedWith, seal: Buffer.from(seal, 'base64') }
  return keyId === undefined ? common : { ...common, key_id: keyId, provider_id: providerId ?? null }
}
