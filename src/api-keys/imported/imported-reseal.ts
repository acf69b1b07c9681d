import type { Actor } from '../../audit/audit-event.ts'
import { mutate } from '../../audit/audit-log.ts'
import type { Database } from '../../database/database.ts'
import { readInstallation } from '../../installation/installation.ts'
import type { RowSeals } from '../../installation/row-seals.ts'
import { importedSealedOtherwise, sealImportedRows } from './imported-client-repository.ts'
import { importedFault } from './imported-secret-seal.ts'

/** Bounds the time of one transaction. */
const ROWS_A_TRANSACTION = 500

/**
 * Seals every genuine imported secret again with the first encryption key and pepper, in short transactions, each with
 * an audit row. Rows that are not genuine stay as they are. Returns the number of rows.
 */
export async function resealImported(database: Database, seals: RowSeals, actor: Actor): Promise<number> {
  let total = 0
  for (let after = ''; ; ) {
    const page = { sealedWith: seals.current, after, limit: ROWS_A_TRANSACTION, lock: true }
    const { last, resealed } = await mutate(database, actor, async ({ trx, record }) => {
      const rows = await importedSealedOtherwise(trx, page)
      const { id, recorded } = await readInstallation(trx)
      const genuine = rows.filter(row => importedFault(row, seals, recorded) === undefined)
      if (genuine.length > 0) {
        await sealImportedRows(trx, seals, genuine)
        const changes = { sealedWith: { to: seals.current }, rows: { to: genuine.length } }
        record(
          { action: 'installation.reseal', targetKind: 'installation', targetId: id, changes },
          ...genuine.map(({ keyId }) => ({ kind: 'key' as const, id: keyId })),
        )
      }
      return { last: rows.at(-1)?.id, resealed: genuine.length }
    })
    total += resealed
    if (last === undefined) return total
    after = last
  }
}
