import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely'
import type { RestoreTable, TokenRevocationTable, TombstoneTable } from './tables/ended-tables.ts'
import type { IdentitySchema } from './tables/identity-tables.ts'
import type { SetSchema } from './tables/set-tables.ts'
import type { UsageSchema } from './tables/usage-tables.ts'

/**
 * The tables for Kysely, written by hand and checked against the real ones by test/database/schema.test.ts. Only
 * repositories, audit/ and database/ use rows; everything else uses domain values.
 */
export interface Schema extends IdentitySchema, SetSchema, UsageSchema {
  installation: InstallationTable
  tiers: TierTable
  models: ModelTable
  tenants: TenantTable
  tenant_tiers: { tenant_id: string; tier: string; position: number }
  tenant_grants: { tenant_id: string; model: string; position: number }
  deleted_tenants: { id: string; deleted_at: Generated<Date> }
  api_keys: ApiKeyTable
  key_grants: { key_id: string; model: string; position: number }
  api_key_secrets: ApiKeySecretTable
  secret_proofs: { secret_id: string; digest: Buffer; pepper_id: string; proven_at: Generated<Date> }
  key_usage: { key_id: string; day: Date; outcome: string; count: string }
  signing_keys: SigningKeyTable
  replicas: ReplicaTable
  change_counter: ChangeCounterTable
  change_feed: ChangeFeedTable
  audit_events: AuditEventTable
  audit_checkpoints: { id: string; jws: string; at: Generated<Date> }
  admin_tokens: AdminTokenTable
  idempotency_keys: IdempotencyKeyTable
  token_revocations: TokenRevocationTable
  used_assertions: { digest: Buffer; expires_at: Date }
  sealed_since: { singleton: Generated<boolean>; audit_id: string }
  restores: RestoreTable
  tombstones: TombstoneTable
  maker_fill: { singleton: Generated<boolean>; audit_id: string }
}

/** bigint: a decimal string when read; assigned by the database. */
type Sequence = GeneratedAlways<string>
type Labels = ColumnType<Record<string, string>, string | undefined, string>
type Limits = ColumnType<Record<string, number>, string | undefined, string>
type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>

interface InstallationTable {
  singleton: Generated<boolean>
  id: Generated<string>
  issuer: string
  pepper_checks: JSONColumnType<Record<string, string>>
  current_pepper: string
  encryption_key_checks: JSONColumnType<Record<string, string>>
  current_encryption_key: string
  signing_alg: string
  other_signing_algs: Generated<string[]>
  audience_signing_algs: ColumnType<Record<string, string>, string | undefined, string>
  rotation_interval_seconds: number
  publish_lead_seconds: number
  max_key_lifetime_seconds: Generated<number>
  unending_keys_allowed: Generated<boolean>
  max_live_keys_per_tenant: Generated<number>
  tenant_writes_per_minute: Generated<number>
  usage_dedup_seconds: Generated<number>
  usage_retention_days: Generated<number>
  contact_required: Generated<boolean>
  longest_token_ttl_seconds: number
  longest_staleness_seconds: number
  created_at: Generated<Date>
}

interface TierTable {
  name: string
  seq: Sequence
  priority: number
  description: Generated<string>
  limits: Limits
  created_at: Generated<Date>
  updated_at: Generated<Date>
}

interface ModelTable {
  name: string
  seq: Sequence
  kind: 'model' | 'adapter'
  base_model: Nullable<string>
  base_kind: GeneratedAlways<string | null>
  max_model_len: Nullable<number>
  description: Generated<string>
  created_at: Generated<Date>
  updated_at: Generated<Date>
}

interface TenantTable {
  id: string
  seq: Sequence
  name: string
  description: Generated<string>
  labels: Labels
  suspended_at: Nullable<Date>
  tier: string
  scopes: string[]
  models_limited: Generated<boolean>
  audiences: string[]
  token_ttl_seconds: Nullable<number>
  staleness_seconds: Nullable<number>
  max_key_lifetime_seconds: Nullable<number>
  limits: Limits
  contact: Nullable<string>
  escalation: Nullable<string>
  token_epoch: Generated<string>
  created_at: Generated<Date>
  updated_at: Generated<Date>
}

interface ApiKeyTable {
  id: string
  seq: Sequence
  tenant_id: string
  name: string
  description: Generated<string>
  labels: Labels
  tier: Nullable<string>
  scopes: string[]
  models_limited: Generated<boolean>
  adapters_limited: Generated<boolean>
  audiences: Nullable<string[]>
  token_ttl_seconds: Nullable<number>
  limits: Limits
  contact: Nullable<string>
  escalation: Nullable<string>
  token_epoch: Nullable<string>
  expires_at: Nullable<Date>
  disabled_at: Nullable<Date>
  revoked_at: Nullable<Date>
  revoked_reason: Nullable<string>
  created_at: Generated<Date>
  updated_at: Generated<Date>
  last_used_on: Generated<Date>
  created_by: Nullable<string>
}

interface ApiKeySecretTable {
  id: string
  seq: Sequence
  key_id: string
  digest: Nullable<Buffer>
  pepper_id: Nullable<string>
  created_at: Generated<Date>
  ends_at: Nullable<Date>
  revoked_at: Nullable<Date>
  last_used_at: Nullable<Date>
  client_id: Nullable<string>
  scheme: Nullable<'bcrypt' | 'sha256' | 'sha256-lookup'>
  hash: Nullable<string>
  created_by: Nullable<string>
  by_rotation: Generated<boolean>
  sealed_with: Nullable<string>
  seal: Nullable<Buffer>
}

interface SigningKeyTable {
  kid: string
  alg: string
  state: 'standby' | 'active' | 'retiring' | 'removed'
  public_jwk: JSONColumnType<Record<string, string>>
  private_encrypted: Nullable<Buffer>
  encryption_key_id: Nullable<string>
  published_at: Generated<Date>
  activates_at: Nullable<Date>
  retires_at: Nullable<Date>
  forgets_at: Nullable<Date>
  removed_at: Nullable<Date>
  revoked_at: Nullable<Date>
  revoked_reason: Nullable<string>
  held: Generated<boolean>
  sealed_with: Nullable<string>
  seal: Nullable<Buffer>
}

interface ReplicaTable {
  id: string
  host: string
  started_at: Generated<Date>
  seen_at: Date
  staleness_seconds: number
  kids: string[]
  gateways: ColumnType<unknown, string, string>
}

interface ChangeCounterTable {
  singleton: Generated<boolean>
  number: string
  audit_id: Generated<string>
  audit_hash: Generated<Buffer>
  audit_cut_id: Generated<string>
  audit_cut_hash: Generated<Buffer>
}

interface ChangeFeedTable {
  number: string
  id: Generated<string>
  changes: JSONColumnType<object[]>
  created_at: Generated<Date>
}

interface AuditEventTable {
  id: string
  at: Date
  actor: string
  action: string
  target_kind: string
  target_id: string
  tenant_id: Nullable<string>
  request_id: Nullable<string>
  source: Nullable<string>
  changes: JSONColumnType<object>
  outcome: 'done' | 'refused'
  previous_hash: Buffer
  hash: Buffer
}

interface AdminTokenTable {
  id: string
  seq: Sequence
  name: string
  role: 'owner' | 'operator' | 'auditor' | 'tenant-admin' | 'introspector'
  tenant_id: Nullable<string>
  audiences: Nullable<string[]>
  digest: Buffer
  pepper_id: string
  created_by: string
  created_at: Generated<Date>
  expires_at: Nullable<Date>
  revoked_at: Nullable<Date>
  revoked_reason: Nullable<string>
  last_used_at: Nullable<Date>
}

interface IdempotencyKeyTable {
  actor: string
  method: string
  path: string
  key: string
  body_digest: Buffer
  target_kind: Nullable<string>
  target_id: Nullable<string>
  answer: ColumnType<object | null, string | null | undefined, string>
  created_at: Generated<Date>
}
