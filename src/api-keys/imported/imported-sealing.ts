import type { Actor } from '../../audit/audit-event.ts'
import { findRecordedActions, findSealed } from '../../audit/audit-event-repository.ts'
import { mutate } from '../../audit/audit-log.ts'
import type { Database } from '../../database/database.ts'
import { databaseNow } from '../../database/database-time.ts'
import { readInstallation } from '../../installation/installation.ts'
import { type RowSeals, rowDigest } from '../../installation/row-seals.ts'
import { importedSealedOtherwise, revokedAmong, sealImportedRows } from './imported-client-repository.ts'
import {
  IMPORTED_SECRET,
  importedFault,
  type StoredImportedSecret,
  sealedValues,
} from './imported-secret-seal.ts'

const ROWS_A_PAGE = 500
const IMPORTED = 'key.import'
const SEALED = { always: ['key.seal'], since: [IMPORTED] }
const WAS_SEALED =
  'according to the audit trail it was sealed, and its seal was removed: revoke its key, and import the client again'

interface Means {
  seals: RowSeals
  /** Also seal secrets of which the audit trail does not have the import. */
  acceptUnproven: boolean
}

/** An imported secret without a valid seal, and why it is not sealed; undefined: it can be. */
export interface UnsealedSecret {
  secret: StoredImportedSecret
  /** Of the parts of the row that the seal covers. */
  digest: string
  obstacle: string | undefined
}

/** The imported secrets without a valid seal, in pages. Nothing proves that their hashes are the ones imported. */
export async function* surveyImported(database: Database, means: Means): AsyncGenerator<UnsealedSecret[]> {
  for (let after = ''; ; ) {
    const page = { sealedWith: means.seals.current, after, limit: ROWS_A_PAGE, lock: false }
    const { rows, recorded, actions, sealed } = await database.run(async db => {
      const rows = await importedSealedOtherwise(db, page)
      const keyIds = rows.map(({ keyId }) => keyId)
      const actions = await findRecordedActions(db, 'key', keyIds, [IMPORTED])
      const sealed = await findSealed(db, 'key', keyIds, SEALED)
      return { rows, actions, sealed, recorded: (await readInstallation(db)).recorded }
    })
    yield rows.flatMap(secret => {
      const fault = importedFault(secret, means.seals, recorded)
      if (!fault) return []
      const digest = rowDigest(IMPORTED_SECRET, sealedValues(secret))
      if (fault !== 'unsealed') return [{ secret, digest, obstacle: `its seal is not valid (${fault})` }]
      if (sealed.has(secret.keyId)) return [{ secret, digest, obstacle: WAS_SEALED }]
      const proven = actions.has(secret.keyId) || means.acceptUnproven
      return [{ secret, digest, obstacle: proven ? undefined : 'its import is not in the audit trail' }]
    })
    const last = rows.at(-1)
    if (!last) return
    after = last.id
  }
}

/**
 * Seals the secrets that still can be, and are as they were `shown`: ids with their digests. In short transactions. Returns
 * their number.
 */
export async function sealImportedSecrets(
  database: Database,
  means: Means,
  actor: Actor,
  shown: ReadonlyMap<string, string>,
): Promise<number> {
  let total = 0
  for await (const page of surveyImported(database, means)) {
    const ids = new Set(page.flatMap(({ secret, obstacle }) => (obstacle ? [] : secret.id)))
    if (ids.size > 0) total += await sealPage(database, means.seals, actor, ids, shown)
  }
  return total
}

function sealPage(
  database: Database,
  seals: RowSeals,
  actor: Actor,
  ids: ReadonlySet<string>,
  shown: ReadonlyMap<string, string>,
): Promise<number> {
  const [first = ''] = ids
  return mutate(database, actor, async ({ trx, record }) => {
    // From just before the first: `after` is exclusive.
    const page = { sealedWith: seals.current, after: first.slice(0, -1), limit: 2 * ROWS_A_PAGE, lock: true }
    const rows = (await importedSealedOtherwise(trx, page)).filter(
      row =>
        ids.has(row.id) &&
        row.seal === null &&
        row.sealedWith === null &&
        shown.get(row.id) === rowDigest(IMPORTED_SECRET, sealedValues(row)),
    )
    if (rows.length === 0) return 0
    // It or its key was revoked, and the row may have been changed since: its end is sealed.
    const revoked = await revokedAmong(
      trx,
      rows.map(({ id }) => id),
    )
    await sealImportedRows(
      trx,
      seals,
      rows.filter(({ id }) => !revoked.has(id)),
    )
    await sealImportedRows(
      trx,
      seals,
      rows.filter(({ id }) => revoked.has(id)),
      await databaseNow(trx),
    )
    for (const { id, keyId, clientId } of rows) {
      const changes = { secretId: { to: id }, clientId: { to: clientId }, sealedWith: { to: seals.current } }
      record({ action: 'key.seal', targetKind: 'key', targetId: keyId, changes }, { kind: 'key', id: keyId })
    }
    return rows.length
  })
}
