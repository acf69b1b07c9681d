import { sql } from 'kysely'
import type { StoredImportedSecret } from '../api-keys/imported/imported-secret-seal.ts'
import type { Handle } from '../database/database.ts'
import { type ChangedPage, type ChangedRows, readChangedRows } from './changed-row-repository.ts'
import { type ImportedJson, importedJson, toImported } from './known-repository.ts'

/** A page of changed imported secrets. */
export async function changedImports(
  db: Handle,
  page: ChangedRows,
): Promise<ChangedPage<StoredImportedSecret>> {
  const read = await readChangedRows<ImportedJson>(
    db,
    page,
    isChanged => sql`SELECT ${importedJson} AS listed FROM api_key_secrets AS s
      WHERE s.client_id IS NOT NULL AND ${isChanged('s')} ORDER BY s.id LIMIT ${page.limit}`,
  )
  return { ...read, rows: read.rows.map(toImported) }
}
