import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { SealedCredentialRow, SealedProviderRow } from '../identity-providers/identity-seals.ts'
import { type ChangedPage, type ChangedRows, readChangedRows } from './changed-row-repository.ts'

interface Listed {
  id: string
  keyId?: string
  providerId?: string | null
  definition: string
  sealedWith: string
  seal: string
}

/** A page of changed identity providers and credentials. */
export async function changedIdentities(
  db: Handle,
  page: ChangedRows,
): Promise<ChangedPage<SealedProviderRow | SealedCredentialRow>> {
  const { limit } = page
  const sealed = sql`'definition', definition, 'sealedWith', sealed_with, 'seal', encode(seal, 'base64')`
  const read = await readChangedRows<Listed>(
    db,
    page,
    isChanged => sql`
      (SELECT id, json_build_object('id', id, ${sealed}) AS listed
        FROM identity_providers AS p WHERE ${isChanged('p')} ORDER BY id LIMIT ${limit})
      UNION ALL
      (SELECT id, json_build_object('id', id, 'keyId', key_id, 'providerId', provider_id, ${sealed}) AS listed
        FROM key_credentials AS c WHERE ${isChanged('c')} ORDER BY id LIMIT ${limit})
      ORDER BY id LIMIT ${limit}`,
  )
  return { ...read, rows: read.rows.map(toRow) }
}

function toRow({ id, keyId, providerId, definition, sealedWith, seal }: Listed) {
  const common = { id, definition, sealed_with: sealedWith, seal: Buffer.from(seal, 'base64') }
  return keyId === undefined ? common : { ...common, key_id: keyId, provider_id: providerId ?? null }
}
