import type { ColumnType, Generated, GeneratedAlways } from 'kysely'

/** The tables of usage: a part of `Schema`. */
export interface UsageSchema {
  usage_reporters: UsageReporterTable
  usage_reporter_secrets: UsageReporterSecretTable
  usage_records: UsageRecordTable
  usage_totals: UsageTotalTable
  usage_rollups: UsageRollupTable
  usage_rolled: { unit: 'day' | 'five_days' | 'month'; start: Date; finish: Date }
  usage_ledger: { singleton: Generated<boolean>; open_from: Date }
}

interface UsageReporterTable {
  id: string
  seq: GeneratedAlways<string>
  name: string
  audiences: string[]
  later_secret_id: ColumnType<string | null, undefined, string>
  secret_id: GeneratedAlways<string>
  digest: Buffer
  pepper_id: string
  created_by: string
  created_at: Generated<Date>
  deleted_at: ColumnType<Date | null, Date | null | undefined, Date | null>
  voided_since: ColumnType<Date | null, undefined, Date>
  corrected_hours: ColumnType<Date[], undefined, Date[]>
}

interface UsageReporterSecretTable {
  id: string
  reporter_id: string
  digest: Buffer
  pepper_id: string
  ends_at: Date
}

interface UsageRecordTable {
  slot: number
  hour: Date
  reporter_id: string
  id: Buffer
  received_at: Date
  booked: Date
  tenant_id: string
  key_id: string
  model: string
  refused: boolean
  estimated: boolean
  input_tokens: string
  cached_input_tokens: string
  output_tokens: string
}

interface UsageTotalTable {
  hour: Date
  tenant_id: string
  key_id: string
  model: string
  reporter_id: string
  labels: ColumnType<Record<string, string>, string, string>
  requests: Generated<string>
  refused_requests: Generated<string>
  estimated_requests: Generated<string>
  adjusted_requests: Generated<string>
  input_tokens: Generated<string>
  cached_input_tokens: Generated<string>
  output_tokens: Generated<string>
}

interface UsageRollupTable {
  unit: 'day' | 'five_days' | 'month'
  start: Date
  tenant_id: string
  key_id: string
  model: string
  reporter_id: string
  labels: ColumnType<Record<string, string>, string, string>
  labels_md5: GeneratedAlways<string>
  requests: string
  refused_requests: string
  estimated_requests: string
  adjusted_requests: string
  input_tokens: string
  cached_input_tokens: string
  output_tokens: string
}
