import type { Actor } from '../../audit/audit-event.ts'
import { findRecordedTargets } from '../../audit/audit-event-repository.ts'
import { mutate } from '../../audit/audit-log.ts'
import type { Database } from '../../database/database.ts'
import { readInstallation } from '../../installation/installation.ts'
import type { RowSeals } from '../../installation/row-seals.ts'
import { importedSealedOtherwise, sealImportedRows } from './imported-client-repository.ts'
import { importedFault, type StoredImportedSecret } from './imported-secret-seal.ts'

const ROWS_A_PAGE = 500

interface Means {
  seals: RowSeals
  /** Also seal secrets of which the audit trail does not have the import. */
  acceptUnproven: boolean
}

/** An imported secret without a right seal, and why it is not sealed; undefined: it can be. */
export interface UnsealedSecret {
  secret: StoredImportedSecret
  obstacle: string | undefined
}

/** The imported secrets without a right seal, in pages. Nothing proves that their hashes are the ones imported. */
export async function* surveyImported(database: Database, means: Means): AsyncGenerator<UnsealedSecret[]> {
  for (let after = ''; ; ) {
    const page = { sealedWith: means.seals.current, after, limit: ROWS_A_PAGE, lock: false }
    const { rows, recorded, imported } = await database.run(async db => {
      const rows = await importedSealedOtherwise(db, page)
      const keyIds = rows.map(({ keyId }) => keyId)
      const imported = await findRecordedTargets(db, 'key.import', keyIds)
      return { rows, imported, recorded: (await readInstallation(db)).recorded }
    })
    yield rows.flatMap(secret => {
      const fault = importedFault(secret, means.seals, recorded)
      if (!fault) return []
      if (fault !== 'unsealed')
        return [{ secret, obstacle: `it carries a seal that is not right (${fault})` }]
      const proven = imported.has(secret.keyId) || means.acceptUnproven
      return [{ secret, obstacle: proven ? undefined : 'its import is not in the audit trail' }]
    })
    const last = rows.at(-1)
    if (!last) return
    after = last.id
  }
}

/** Seals the secrets of `secretIds` that still can be, in short transactions. Returns their number. */
export async function sealImportedSecrets(
  database: Database,
  means: Means,
  actor: Actor,
  secretIds: ReadonlySet<string>,
): Promise<number> {
  let total = 0
  for await (const page of surveyImported(database, means)) {
    const ids = new Set(
      page.flatMap(({ secret, obstacle }) => (!obstacle && secretIds.has(secret.id) ? secret.id : [])),
    )
    if (ids.size > 0) total += await sealPage(database, means.seals, actor, ids)
  }
  return total
}

function sealPage(
  database: Database,
  seals: RowSeals,
  actor: Actor,
  ids: ReadonlySet<string>,
): Promise<number> {
  const [first = ''] = ids
  return mutate(database, actor, async ({ trx, record }) => {
    // From just before the first: `after` is exclusive.
    const page = { sealedWith: seals.current, after: first.slice(0, -1), limit: 2 * ROWS_A_PAGE, lock: true }
    const rows = (await importedSealedOtherwise(trx, page)).filter(
      ({ id, seal, sealedWith }) => ids.has(id) && seal === null && sealedWith === null,
    )
    if (rows.length === 0) return 0
    await sealImportedRows(trx, seals, rows)
    for (const { id, keyId, clientId } of rows) {
      const changes = { secretId: { to: id }, clientId: { to: clientId }, sealedWith: { to: seals.current } }
      record({ action: 'key.seal', targetKind: 'key', targetId: keyId, changes }, { kind: 'key', id: keyId })
    }
    return rows.length
  })
}
