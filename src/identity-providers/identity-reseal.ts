import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { readInstallation } from '../installation/installation.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { FetchTokens } from './fetching/fetch-tokens.ts'
import { type ResealedRow, resealRows, rowsSealedOtherwise } from './identity-seal-repository.ts'

const ROWS_A_TRANSACTION = 500

/**
 * Seals genuine providers and credentials again with the first encryption key and pepper, and encrypts fetch tokens with
 * that key, in short transactions. Rows that are not genuine stay as they are. Returns the number of rows.
 */
export async function resealIdentities(
  database: Database,
  seals: RowSeals,
  tokens: FetchTokens,
  actor: Actor,
): Promise<number> {
  let total = 0
  for (const table of ['identity_providers', 'key_credentials'] as const) {
    for (let after = ''; ; ) {
      const page = { table, sealedWith: seals.current, after, limit: ROWS_A_TRANSACTION }
      const { last, resealed } = await mutate(database, actor, async ({ trx, record }) => {
        const rows = await rowsSealedOtherwise(trx, page)
        const { id, recorded } = await readInstallation(trx)
        const genuine = await resealRows(trx, { seals, tokens }, table, rows, recorded)
        if (genuine.length > 0) {
          const changes = { sealedWith: { to: seals.current }, rows: { to: genuine.length } }
          record(
            { action: 'installation.reseal', targetKind: 'installation', targetId: id, changes },
            ...genuine.map(row => changeOf(row)),
          )
        }
        return { last: rows.at(-1)?.id, resealed: genuine.length }
      })
      total += resealed
      if (last === undefined) break
      after = last
    }
  }
  return total
}

const changeOf = ({ id, keyId }: ResealedRow) =>
  keyId === undefined ? ({ kind: 'identity-provider', id } as const) : ({ kind: 'key', id: keyId } as const)
