import type { RecordedIds, RowFault, RowSeals, Seal, SealedKind } from '../../installation/row-seals.ts'
import type { ImportedScheme } from './imported-hash.ts'

const COLUMNS = ['id', 'key_id', 'client_id', 'scheme', 'hash', 'ends_at', 'revoked_at'] as const

/** An imported hash: to write one is to choose the secret of a client. */
export const IMPORTED_SECRET: SealedKind<(typeof COLUMNS)[number]> = {
  kind: 'imported_secret',
  table: 'api_key_secrets',
  columns: COLUMNS,
  harmless: {
    seq: 'the order of creation, for lists',
    digest: 'null in every imported row, by a constraint',
    pepper_id: 'null in every imported row, by a constraint',
    created_by: 'shown to administrators, and selects keys to revoke',
    by_rotation: 'false in every imported row: it selects secrets to revoke',
    created_at: 'shown to administrators; the directory loads recent keys first',
    last_used_at: 'shown to administrators; the directory loads recent keys first',
    sealed_with: 'part of the seal: it selects the key, and is covered by its MAC',
    seal: 'the MAC itself',
  },
}

/** An imported secret as it is stored, genuine or not. Instants are epoch milliseconds. */
export interface StoredImportedSecret {
  id: string
  keyId: string
  clientId: string
  scheme: ImportedScheme
  hash: string
  endsAt: number | null
  revokedAt: number | null
  sealedWith: string | null
  seal: Buffer | null
}

type Meaning = Omit<StoredImportedSecret, 'sealedWith' | 'seal'>

export const sealImported = (seals: RowSeals, secret: Meaning): Seal =>
  seals.seal(IMPORTED_SECRET, sealedValues(secret))

/** Undefined: the row is genuine. */
export const importedFault = (
  secret: StoredImportedSecret,
  seals: RowSeals,
  recorded: RecordedIds,
): RowFault | undefined => seals.faultOf(IMPORTED_SECRET, sealedValues(secret), secret, recorded)

/** Instants are sealed in whole milliseconds, as every reader has them. */
export const sealedValues = (secret: Meaning) => ({
  id: secret.id,
  key_id: secret.keyId,
  client_id: secret.clientId,
  scheme: secret.scheme,
  hash: secret.hash,
  ends_at: secret.endsAt === null ? null : Math.floor(secret.endsAt),
  revoked_at: secret.revokedAt === null ? null : Math.floor(secret.revokedAt),
})
