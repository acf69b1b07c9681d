import type { ColumnType, Generated, GeneratedAlways } from 'kysely'

type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>

export interface RestoreTable {
  id: Generated<string>
  noticed_at: Generated<Date>
  noticed_by: string
  known_id: string
  known_hash: Buffer
  known_at: Date
  found_id: string
  found_hash: Buffer
  reconciled_at: Nullable<Date>
  reconciled_by: Nullable<string>
}

export interface TombstoneTable {
  kind: string
  id: string
  ended_at: Date
  owner: Nullable<string>
  restore_id: string
  state: Generated<'pending' | 'applied' | 'waived'>
  reason: Nullable<string>
}

export interface TokenRevocationTable {
  id: Generated<string>
  seq: GeneratedAlways<string>
  claim: 'jti' | 'key_epoch' | 'tenant_epoch'
  value: string
  key_id: Nullable<string>
  tenant_id: Nullable<string>
  reason: Nullable<string>
  created_at: Generated<Date>
  ends_at: Date
}
