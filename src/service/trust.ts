import type { Config } from '../config/config.ts'
import { RowSeals } from '../installation/row-seals.ts'
import { UntrustedRows } from '../installation/untrusted-rows.ts'

/** The seals of rows that grant trust, and the rows without a right one. */
export interface TrustParts {
  seals: RowSeals
  untrusted: UntrustedRows
}

export function buildTrust({ encryptionKeys, peppers }: Config): TrustParts {
  return { seals: new RowSeals({ encryptionKeys, peppers }), untrusted: new UntrustedRows() }
}
