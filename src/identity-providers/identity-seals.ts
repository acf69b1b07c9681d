import type { RecordedIds, RowFault, RowSeals, SealedKind } from '../installation/row-seals.ts'

const SHOWN = {
  seq: 'the order of creation, for lists',
  created_by: 'shown to administrators',
  created_at: 'shown to administrators',
  sealed_with: 'part of the seal: it selects the key, and is covered by its MAC',
  seal: 'the MAC itself',
}

/** To write one is to choose who vouches for workloads. */
export const IDENTITY_PROVIDER: SealedKind<'id' | 'definition'> = {
  kind: 'identity_provider',
  table: 'identity_providers',
  columns: ['id', 'definition'],
  harmless: { ...SHOWN, updated_at: 'shown to administrators' },
}

/** To write one is to give a key to a workload. */
export const KEY_CREDENTIAL: SealedKind<'id' | 'key_id' | 'provider_id' | 'definition'> = {
  kind: 'key_credential',
  table: 'key_credentials',
  columns: ['id', 'key_id', 'provider_id', 'definition'],
  harmless: { ...SHOWN, last_used_at: 'shown to administrators' },
}

interface StoredSeal {
  sealed_with: string
  seal: Buffer
}

export interface SealedProviderRow extends StoredSeal {
  id: string
  definition: string
}

export interface SealedCredentialRow extends StoredSeal {
  id: string
  key_id: string
  provider_id: string | null
  definition: string
}

/** For readers that use genuine rows only, whatever is wrong with the others. */
const NONE_RECORDED: RecordedIds = { encryptionKeys: [], peppers: [], current: undefined }

/** Undefined: the row is genuine. */
export function providerFault(
  seals: RowSeals,
  { id, definition, sealed_with: sealedWith, seal }: SealedProviderRow,
  recorded = NONE_RECORDED,
): RowFault | undefined {
  return seals.faultOf(IDENTITY_PROVIDER, { id, definition }, { sealedWith, seal }, recorded)
}

/** Undefined: the row is genuine. */
export function credentialFault(
  seals: RowSeals,
  { id, key_id, provider_id, definition, sealed_with: sealedWith, seal }: SealedCredentialRow,
  recorded = NONE_RECORDED,
): RowFault | undefined {
  const values = { id, key_id, provider_id, definition }
  return seals.faultOf(KEY_CREDENTIAL, values, { sealedWith, seal }, recorded)
}
