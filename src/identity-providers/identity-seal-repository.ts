import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { RecordedIds, RowSeals, Seal } from '../installation/row-seals.ts'
import { Secret } from '../system/secret.ts'
import { FetchFault } from './fetching/fetch-fault.ts'
import type { FetchTokens } from './fetching/fetch-tokens.ts'
import type { ProviderSettings } from './identity-provider.ts'
import {
  credentialFault,
  IDENTITY_PROVIDER,
  KEY_CREDENTIAL,
  providerFault,
  type SealedCredentialRow,
  type SealedProviderRow,
} from './identity-seals.ts'

type Table = 'identity_providers' | 'key_credentials'

export interface ResealedRow {
  id: string
  keyId: string | undefined
}

type Row = SealedProviderRow | SealedCredentialRow

/** A page of the rows that carry another seal than `sealedWith`, locked, ordered by id. */
export async function rowsSealedOtherwise(
  trx: Handle,
  page: { table: Table; sealedWith: string; after: string; limit: number },
): Promise<Row[]> {
  const ofKey = page.table === 'key_credentials' ? sql`key_id, provider_id,` : sql``
  const { rows } =
    await sql<Row>`SELECT id, ${ofKey} definition, sealed_with, seal FROM ${sql.table(page.table)}
    WHERE id > ${page.after} AND sealed_with <> ${page.sealedWith} ORDER BY id LIMIT ${page.limit} FOR UPDATE`.execute(
      trx,
    )
  return rows
}

/** Seals the genuine ones again, and returns them. One with a token that cannot be decrypted stays as it is. */
export async function resealRows(
  trx: Handle,
  { seals, tokens }: { seals: RowSeals; tokens: FetchTokens },
  table: Table,
  rows: readonly Row[],
  recorded: RecordedIds,
): Promise<ResealedRow[]> {
  const done: ResealedRow[] = []
  for (const row of rows) {
    const isCredential = 'key_id' in row
    if (isCredential ? credentialFault(seals, row, recorded) : providerFault(seals, row, recorded)) continue
    const definition = isCredential ? row.definition : withCurrentToken(row, tokens)
    if (definition === undefined) continue
    const { sealedWith, seal }: Seal = isCredential
      ? seals.seal(KEY_CREDENTIAL, row)
      : seals.seal(IDENTITY_PROVIDER, { ...row, definition })
    await sql`UPDATE ${sql.table(table)}
      SET definition = ${definition}, sealed_with = ${sealedWith}, seal = ${seal} WHERE id = ${row.id}`.execute(
      trx,
    )
    done.push({ id: row.id, keyId: isCredential ? row.key_id : undefined })
  }
  return done
}

/** The definition with its fetch token under the first encryption key; undefined: it cannot be decrypted. */
function withCurrentToken({ id, definition }: SealedProviderRow, tokens: FetchTokens): string | undefined {
  const settings = JSON.parse(definition) as ProviderSettings
  const { fetchToken } = settings
  if (!fetchToken || tokens.isCurrent(fetchToken)) return definition
  try {
    const token = new Secret(tokens.decrypt(id, fetchToken))
    return JSON.stringify({ ...settings, fetchToken: tokens.encrypt(id, token) })
  } catch (error) {
    if (error instanceof FetchFault) return undefined
    throw error
  }
}
