import type { Handle } from '../../database/database.ts'
import { databaseNow } from '../../database/database-time.ts'
import { readInstallation } from '../../installation/installation.ts'
import type { RowSeals } from '../../installation/row-seals.ts'
import { importedOfKeys, sealImportedRows, unsealImported } from './imported-client-repository.ts'
import { importedFault } from './imported-secret-seal.ts'

/**
 * Revokes the imported secrets of keys, and seals their end. One that only other replicas can verify loses its seal, so
 * that none accepts it again. The rest is not genuine, and accepted by none.
 */
export async function revokeImportedOf(
  trx: Handle,
  seals: RowSeals,
  keyIds: readonly string[],
): Promise<void> {
  const secrets = await importedOfKeys(trx, keyIds)
  if (secrets.length === 0) return
  const { recorded } = await readInstallation(trx)
  const found = secrets.map(secret => ({ secret, fault: importedFault(secret, seals, recorded) }))
  const genuine = found.flatMap(({ secret, fault }) => (fault ? [] : secret))
  const lacking = found.flatMap(({ secret, fault }) => (fault === 'lacking_key' ? secret.id : []))
  const now = await databaseNow(trx)
  await sealImportedRows(trx, seals, genuine, now)
  await unsealImported(trx, lacking, now)
}
