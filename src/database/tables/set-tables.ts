import type { ColumnType, Generated, GeneratedAlways } from 'kysely'

type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>

/** The tables of sets of objects, and of rotations that wait: a part of `Schema`. */
export interface SetSchema {
  set_objects: SetObjectTable
  pending_secrets: { secret_id: string; confirm_by: Date; overlap_seconds: number }
}

interface SetObjectTable {
  seq: GeneratedAlways<string>
  set_name: string
  kind: string
  name: string
  tier: Nullable<string>
  model: Nullable<string>
  tenant_id: Nullable<string>
  key_id: Nullable<string>
  provider_id: Nullable<string>
  reporter_id: Nullable<string>
  object_id: GeneratedAlways<string>
  created_by_set: boolean
  created_by: string
  created_at: Generated<Date>
}
