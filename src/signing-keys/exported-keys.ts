import type { Handle } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import { type Installation, readInstallation } from '../installation/installation.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { KeyEncryption } from './key-encryption.ts'
import type { KeyRing } from './key-ring.ts'
import { publishedRows, publishedSetModifiedAt } from './published-key-repository.ts'
import { genuineKeys } from './signing-key-repository.ts'
import type { SigningKeyRow } from './signing-key-seal.ts'
import { ringOf } from './stored-ring.ts'

/** The published keys of an installation outside its database. The private keys are encrypted, and each row is sealed. */
export interface ExportedKeys {
  rows: readonly SigningKeyRow[]
  installation: Pick<Installation, 'id' | 'policy' | 'recorded'>
  /** When the set was last changed, as epoch milliseconds. */
  modifiedAt: number | undefined
}

/** `known`: the kids that this process has verified before. */
export async function exportKeys(
  db: Handle,
  seals: RowSeals,
  known: readonly string[],
): Promise<ExportedKeys> {
  const { rows } = await publishedRows(db, known)
  const { id, policy, recorded } = await readInstallation(db)
  const { keys } = await genuineKeys(rows, seals, recorded)
  const genuine = new Set(keys.map(({ kid }) => kid))
  return {
    rows: rows.filter(({ kid }) => genuine.has(kid)),
    installation: { id, policy, recorded },
    modifiedAt: await publishedSetModifiedAt(db),
  }
}

/** The ring of exported keys. @throws {KeyDecryptionError} @throws {Unavailable} when none is genuine. */
export async function exportedRing(
  { rows, installation: { policy, recorded }, modifiedAt }: ExportedKeys,
  { encryption, seals }: { encryption: KeyEncryption; seals: RowSeals },
): Promise<KeyRing> {
  const { keys, rejected } = await genuineKeys(rows, seals, recorded)
  if (keys.length === 0) throw new Unavailable('No signing key of the snapshot is genuine.')
  const { ring, faults } = await ringOf({ keys, rejected, policy, modifiedAt }, encryption, undefined)
  if (faults[0]) throw faults[0]
  return ring
}
