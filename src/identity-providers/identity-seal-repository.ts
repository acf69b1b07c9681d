import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { RecordedIds, RowFault, RowSeals, Seal } from '../installation/row-seals.ts'
import { IDENTITY_PROVIDER, KEY_CREDENTIAL } from './identity-seals.ts'

type Table = 'identity_providers' | 'key_credentials'

export interface ResealedRow {
  id: string
  keyId: string | undefined
}

interface Row {
  id: string
  key_id: string | null
  provider_id: string | null
  definition: string
  sealed_with: string
  seal: Buffer
}

/** A page of the rows that carry another seal than `sealedWith`, locked, ordered by id. */
export async function rowsSealedOtherwise(
  trx: Handle,
  page: { table: Table; sealedWith: string; after: string; limit: number },
): Promise<Row[]> {
  const ofKey =
    page.table === 'key_credentials' ? sql`key_id, provider_id` : sql`NULL AS key_id, NULL AS provider_id`
  const { rows } =
    await sql<Row>`SELECT id, ${ofKey}, definition, sealed_with, seal FROM ${sql.table(page.table)}
    WHERE id > ${page.after} AND sealed_with <> ${page.sealedWith} ORDER BY id LIMIT ${page.limit} FOR UPDATE`.execute(
      trx,
    )
  return rows
}

/** Seals the genuine ones again, and returns them. */
export async function resealRows(
  trx: Handle,
  seals: RowSeals,
  table: Table,
  rows: readonly Row[],
  recorded: RecordedIds,
): Promise<ResealedRow[]> {
  const done: ResealedRow[] = []
  for (const row of rows) {
    if (faultOf(seals, table, row, recorded)) continue
    const { sealedWith, seal } = sealOf(seals, table, row)
    await sql`UPDATE ${sql.table(table)} SET sealed_with = ${sealedWith}, seal = ${seal} WHERE id = ${row.id}`.execute(
      trx,
    )
    done.push({ id: row.id, keyId: row.key_id ?? undefined })
  }
  return done
}

const credentialValues = ({ id, key_id, provider_id, definition }: Row) => ({
  id,
  key_id: key_id ?? '',
  provider_id,
  definition,
})

const sealOf = (seals: RowSeals, table: Table, row: Row): Seal =>
  table === 'identity_providers'
    ? seals.seal(IDENTITY_PROVIDER, { id: row.id, definition: row.definition })
    : seals.seal(KEY_CREDENTIAL, credentialValues(row))

function faultOf(seals: RowSeals, table: Table, row: Row, recorded: RecordedIds): RowFault | undefined {
  const stored = { sealedWith: row.sealed_with, seal: row.seal }
  return table === 'identity_providers'
    ? seals.faultOf(IDENTITY_PROVIDER, { id: row.id, definition: row.definition }, stored, recorded)
    : seals.faultOf(KEY_CREDENTIAL, credentialValues(row), stored, recorded)
}
