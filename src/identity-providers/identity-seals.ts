import type { SealedKind } from '../installation/row-seals.ts'

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
