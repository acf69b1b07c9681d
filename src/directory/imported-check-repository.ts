import { sql } from 'kysely'
import type { StoredImportedSecret } from '../api-keys/imported/imported-secret-seal.ts'
import type { Handle } from '../database/database.ts'
import type { RecordedIds } from '../installation/row-seals.ts'
import { type ImportedJson, importedJson, toImported } from './known-repository.ts'

export interface ImportsPage {
  secrets: StoredImportedSecret[]
  recorded: RecordedIds
  /** The oldest transaction that was open: rows of older ones are visible. */
  openSince: string
  /** The id after which the next page begins; null: this is the last. */
  last: string | null
}

/**
 * A page of the imported secrets that were written by transaction `writtenSince` or a later one, and of the `known`
 * ones, by id. With null, and after the server's transaction counter went back (a failover, a restore), all of them. An
 * old row may be among them too: `age` compares 32 bits.
 */
export async function changedImports(
  db: Handle,
  page: { writtenSince: string | null; known: readonly string[]; after: string; limit: number },
): Promise<ImportsPage> {
  const { writtenSince, known, after, limit } = page
  const { rows } = await sql<{
    open_since: string
    encryption_keys: string[]
    peppers: string[]
    current: RecordedIds['current'] | null
    secrets: ImportedJson[]
  }>`
    WITH clock AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS open_since)
    SELECT clock.open_since::text AS open_since,
      (SELECT array_agg(name) FROM installation, jsonb_object_keys(encryption_key_checks) AS name) AS encryption_keys,
      (SELECT array_agg(name) FROM installation, jsonb_object_keys(pepper_checks) AS name) AS peppers,
      (SELECT json_build_object('encryptionKey', current_encryption_key, 'pepper', current_pepper) FROM installation) AS current,
      (SELECT coalesce(json_agg(imported), '[]') FROM (
        SELECT ${importedJson} AS imported FROM api_key_secrets AS s
        WHERE s.client_id IS NOT NULL AND s.id > ${after} AND (s.id = ANY (${[...known]}::text[])
          OR ${writtenSince}::text IS NULL OR ${writtenSince}::text::xid8 > clock.open_since
          OR age(s.xmin) <= age(${writtenSince}::text::xid8::xid))
        ORDER BY s.id LIMIT ${limit}) AS listed) AS secrets
    FROM clock`.execute(db)
  const row = rows[0]
  if (!row) throw new Error('a query that has one row had none')
  const secrets = row.secrets.map(toImported)
  return {
    secrets,
    recorded: {
      encryptionKeys: row.encryption_keys ?? [],
      peppers: row.peppers ?? [],
      current: row.current ?? undefined,
    },
    openSince: row.open_since,
    last: secrets.length < limit ? null : (secrets.at(-1)?.id ?? null),
  }
}
