import type { Config } from '../config/config.ts'
import { RowSeals } from '../installation/row-seals.ts'
import { UntrustedRows } from '../installation/untrusted-rows.ts'
import { readMemories } from '../snapshots/memories.ts'
import { processName } from '../system/host.ts'
import { Tombstones } from '../tombstones/tombstones.ts'
import type { Storage, System } from './storage.ts'

/** The seals of rows that grant trust, the rows without a valid one, and what stays ended after a restore. */
export interface TrustParts {
  seals: RowSeals
  untrusted: UntrustedRows
  tombstones: Tombstones
}

export function buildTrust(
  { encryptionKeys, peppers, snapshotDir }: Config,
  { logger }: System,
  { database: writing, directoryDatabase: reading }: Storage,
  issuer: string,
): TrustParts {
  const readFiles = async () =>
    snapshotDir === undefined ? [] : readMemories(snapshotDir, { issuer, encryptionKeys, logger })
  const tombstones = new Tombstones({ reading, writing, logger, writer: processName(), readFiles })
  const isRevokedKid = (kid: string) => tombstones.has('signing_key_revoked', kid)
  const seals = new RowSeals({ encryptionKeys, peppers, isRevokedKid })
  return { seals, untrusted: new UntrustedRows(), tombstones }
}
