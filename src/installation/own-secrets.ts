import type { Handle } from '../database/database.ts'
import type { NamedKey } from '../system/secret.ts'
import { checksOf, firstOf, type SecretChecks } from './installation-secrets.ts'

const selectSecrets = (db: Handle) =>
  db
    .selectFrom('installation')
    .select(['current_encryption_key', 'encryption_key_checks', 'current_pepper', 'pepper_checks'])

/** Whether a service was started on this database before. */
export const hasInstallation = async (db: Handle): Promise<boolean> =>
  (await selectSecrets(db).executeTakeFirst()) !== undefined

/** The id of the installation; undefined: no service was started on this database yet. */
export const installationId = async (db: Handle): Promise<string | undefined> =>
  (await db.selectFrom('installation').select('id').executeTakeFirst())?.id

/** Why a process with these secrets must not write for this installation: its replicas have other first ones. */
export async function secretFaults(
  db: Handle,
  own: { encryptionKeys: readonly NamedKey[]; peppers: readonly NamedKey[] },
): Promise<string[]> {
  const row = await selectSecrets(db).executeTakeFirst()
  if (!row) return ['The database has no installation record: no service was started on it yet.']
  const faults = (list: string, keys: readonly NamedKey[], current: string, recorded: SecretChecks) =>
    firstOf(keys).id === current && checksOf(keys)[current] === recorded[current]
      ? []
      : [`MINTMARK_${list} must begin with "${current}", with the value that the replicas have.`]
  return [
    ...faults('ENCRYPTION_KEYS', own.encryptionKeys, row.current_encryption_key, row.encryption_key_checks),
    ...faults('PEPPERS', own.peppers, row.current_pepper, row.pepper_checks),
  ]
}
