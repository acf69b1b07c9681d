import type { ColumnType, Generated, GeneratedAlways } from 'kysely'

type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>

/** The tables of workload identity: a part of `Schema`. */
export interface IdentitySchema {
  identity_providers: SealedDefinition & { updated_at: Generated<Date> }
  key_credentials: KeyCredentialTable
  deleted_identities: { id: string; owner: string | null; deleted_at: Generated<Date> }
}

interface SealedDefinition {
  id: string
  seq: GeneratedAlways<string>
  definition: string
  created_by: Nullable<string>
  created_at: Generated<Date>
  sealed_with: string
  seal: Buffer
}

interface KeyCredentialTable extends SealedDefinition {
  key_id: string
  provider_id: Nullable<string>
  last_used_at: Nullable<Date>
}
