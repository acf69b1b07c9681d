import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Schema } from '../../src/database/schema.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

/**
 * The compiler checks this record against the interface Schema, name by name, and the test checks it against Postgres:
 * type, and `?` where a column may be null.
 */
const TABLES = {
  installation: {
    singleton: 'boolean',
    id: 'uuid',
    issuer: 'text',
    pepper_checks: 'jsonb',
    current_pepper: 'text',
    encryption_key_checks: 'jsonb',
    current_encryption_key: 'text',
    signing_alg: 'text',
    other_signing_algs: 'text[]',
    audience_signing_algs: 'jsonb',
    rotation_interval_seconds: 'integer',
    publish_lead_seconds: 'integer',
    max_key_lifetime_seconds: 'integer',
    unending_keys_allowed: 'boolean',
    longest_token_ttl_seconds: 'integer',
    longest_staleness_seconds: 'integer',
    created_at: 'timestamptz',
    max_live_keys_per_tenant: 'integer',
    tenant_writes_per_minute: 'integer',
    usage_dedup_seconds: 'integer',
    usage_retention_days: 'integer',
    contact_required: 'boolean',
  },
  usage_reporters: {
    id: 'text',
    seq: 'bigint',
    name: 'text',
    audiences: 'text[]',
    digest: 'bytea',
    pepper_id: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    deleted_at: 'timestamptz?',
    later_secret_id: 'text?',
    secret_id: 'text',
    voided_since: 'timestamptz?',
    corrected_hours: 'timestamptz[]',
  },
  usage_reporter_secrets: {
    id: 'text',
    reporter_id: 'text',
    digest: 'bytea',
    pepper_id: 'text',
    ends_at: 'timestamptz',
  },
  usage_records: {
    slot: 'smallint',
    hour: 'timestamptz',
    reporter_id: 'text',
    id: 'bytea',
    received_at: 'timestamptz',
    booked: 'timestamptz',
    tenant_id: 'text',
    key_id: 'text',
    model: 'text',
    refused: 'boolean',
    estimated: 'boolean',
    input_tokens: 'bigint',
    cached_input_tokens: 'bigint',
    output_tokens: 'bigint',
  },
  usage_totals: {
    hour: 'timestamptz',
    tenant_id: 'text',
    key_id: 'text',
    model: 'text',
    reporter_id: 'text',
    labels: 'jsonb',
    requests: 'bigint',
    refused_requests: 'bigint',
    estimated_requests: 'bigint',
    adjusted_requests: 'bigint',
    input_tokens: 'bigint',
    cached_input_tokens: 'bigint',
    output_tokens: 'bigint',
  },
  usage_rollups: {
    unit: 'text',
    start: 'timestamptz',
    tenant_id: 'text',
    key_id: 'text',
    model: 'text',
    reporter_id: 'text',
    labels: 'jsonb',
    labels_md5: 'text',
    requests: 'bigint',
    refused_requests: 'bigint',
    estimated_requests: 'bigint',
    adjusted_requests: 'bigint',
    input_tokens: 'bigint',
    cached_input_tokens: 'bigint',
    output_tokens: 'bigint',
  },
  usage_rolled: { unit: 'text', start: 'timestamptz', finish: 'timestamptz' },
  usage_ledger: { singleton: 'boolean', open_from: 'timestamptz' },
  secret_proofs: { secret_id: 'text', digest: 'bytea', pepper_id: 'text', proven_at: 'timestamptz' },
  tiers: {
    name: 'text',
    seq: 'bigint',
    priority: 'integer',
    description: 'text',
    limits: 'jsonb',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
  models: {
    name: 'text',
    seq: 'bigint',
    kind: 'text',
    base_model: 'text?',
    base_kind: 'text?',
    max_model_len: 'integer?',
    description: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
  tenants: {
    id: 'text',
    seq: 'bigint',
    name: 'text',
    description: 'text',
    labels: 'jsonb',
    suspended_at: 'timestamptz?',
    tier: 'text',
    scopes: 'text[]',
    models_limited: 'boolean',
    audiences: 'text[]',
    token_ttl_seconds: 'integer?',
    staleness_seconds: 'integer?',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
    max_key_lifetime_seconds: 'integer?',
    limits: 'jsonb',
    token_epoch: 'text',
    contact: 'text?',
    escalation: 'text?',
  },
  tenant_tiers: { tenant_id: 'text', tier: 'text', position: 'smallint' },
  tenant_grants: { tenant_id: 'text', model: 'text', position: 'smallint' },
  deleted_tenants: { id: 'text', deleted_at: 'timestamptz' },
  api_keys: {
    id: 'text',
    seq: 'bigint',
    tenant_id: 'text',
    name: 'text',
    description: 'text',
    labels: 'jsonb',
    tier: 'text?',
    scopes: 'text[]',
    models_limited: 'boolean',
    adapters_limited: 'boolean',
    audiences: 'text[]?',
    token_ttl_seconds: 'integer?',
    limits: 'jsonb',
    token_epoch: 'text?',
    expires_at: 'timestamptz?',
    disabled_at: 'timestamptz?',
    revoked_at: 'timestamptz?',
    revoked_reason: 'text?',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
    last_used_on: 'date',
    created_by: 'text?',
    contact: 'text?',
    escalation: 'text?',
  },
  key_grants: { key_id: 'text', model: 'text', position: 'smallint' },
  api_key_secrets: {
    id: 'text',
    seq: 'bigint',
    key_id: 'text',
    digest: 'bytea?',
    pepper_id: 'text?',
    created_at: 'timestamptz',
    ends_at: 'timestamptz?',
    revoked_at: 'timestamptz?',
    last_used_at: 'timestamptz?',
    client_id: 'text?',
    scheme: 'text?',
    hash: 'text?',
    created_by: 'text?',
    by_rotation: 'boolean',
    sealed_with: 'text?',
    seal: 'bytea?',
  },
  signing_keys: {
    kid: 'text',
    alg: 'text',
    state: 'text',
    public_jwk: 'jsonb',
    private_encrypted: 'bytea?',
    encryption_key_id: 'text?',
    published_at: 'timestamptz',
    activates_at: 'timestamptz?',
    retires_at: 'timestamptz?',
    forgets_at: 'timestamptz?',
    removed_at: 'timestamptz?',
    revoked_at: 'timestamptz?',
    revoked_reason: 'text?',
    held: 'boolean',
    sealed_with: 'text?',
    seal: 'bytea?',
  },
  key_usage: { key_id: 'text', day: 'date', outcome: 'text', count: 'bigint' },
  replicas: {
    id: 'uuid',
    host: 'text',
    started_at: 'timestamptz',
    seen_at: 'timestamptz',
    staleness_seconds: 'integer',
    kids: 'text[]',
    gateways: 'jsonb?',
  },
  change_counter: {
    singleton: 'boolean',
    number: 'bigint',
    audit_id: 'bigint',
    audit_hash: 'bytea',
    audit_cut_id: 'bigint',
    audit_cut_hash: 'bytea',
  },
  change_feed: { number: 'bigint', id: 'uuid', changes: 'jsonb', created_at: 'timestamptz' },
  audit_events: {
    id: 'bigint',
    at: 'timestamptz',
    actor: 'text',
    action: 'text',
    target_kind: 'text',
    target_id: 'text',
    tenant_id: 'text?',
    request_id: 'text?',
    source: 'text?',
    changes: 'jsonb',
    outcome: 'text',
    previous_hash: 'bytea',
    hash: 'bytea',
  },
  admin_tokens: {
    id: 'text',
    seq: 'bigint',
    name: 'text',
    role: 'text',
    tenant_id: 'text?',
    audiences: 'text[]?',
    digest: 'bytea',
    pepper_id: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    expires_at: 'timestamptz?',
    revoked_at: 'timestamptz?',
    revoked_reason: 'text?',
    last_used_at: 'timestamptz?',
  },
  maker_fill: { singleton: 'boolean', audit_id: 'bigint' },
  sealed_since: { singleton: 'boolean', audit_id: 'bigint' },
  idempotency_keys: {
    actor: 'text',
    method: 'text',
    path: 'text',
    key: 'text',
    body_digest: 'bytea',
    target_kind: 'text?',
    target_id: 'text?',
    answer: 'jsonb?',
    created_at: 'timestamptz',
  },
  audit_checkpoints: { id: 'bigint', jws: 'text', at: 'timestamptz' },
  identity_providers: {
    id: 'text',
    seq: 'bigint',
    definition: 'text',
    created_by: 'text?',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
    sealed_with: 'text',
    seal: 'bytea',
  },
  key_credentials: {
    id: 'text',
    seq: 'bigint',
    key_id: 'text',
    provider_id: 'text?',
    definition: 'text',
    created_by: 'text?',
    created_at: 'timestamptz',
    last_used_at: 'timestamptz?',
    sealed_with: 'text',
    seal: 'bytea',
  },
  deleted_identities: { id: 'text', owner: 'text?', deleted_at: 'timestamptz' },
  restores: {
    id: 'uuid',
    noticed_at: 'timestamptz',
    noticed_by: 'text',
    known_id: 'bigint',
    known_hash: 'bytea',
    known_at: 'timestamptz',
    found_id: 'bigint',
    found_hash: 'bytea',
    reconciled_at: 'timestamptz?',
    reconciled_by: 'text?',
  },
  tombstones: {
    kind: 'text',
    id: 'text',
    ended_at: 'timestamptz',
    owner: 'text?',
    restore_id: 'uuid',
    state: 'text',
    reason: 'text?',
  },
  used_assertions: { digest: 'bytea', expires_at: 'timestamptz' },
  token_revocations: {
    id: 'text',
    seq: 'bigint',
    claim: 'text',
    value: 'text',
    key_id: 'text?',
    tenant_id: 'text?',
    reason: 'text?',
    created_at: 'timestamptz',
    ends_at: 'timestamptz',
  },
  set_objects: {
    seq: 'bigint',
    set_name: 'text',
    kind: 'text',
    name: 'text',
    tier: 'text?',
    model: 'text?',
    tenant_id: 'text?',
    key_id: 'text?',
    provider_id: 'text?',
    reporter_id: 'text?',
    object_id: 'text',
    created_by_set: 'boolean',
    created_by: 'text',
    created_at: 'timestamptz',
  },
  pending_secrets: { secret_id: 'text', confirm_by: 'timestamptz', overlap_seconds: 'integer' },
} satisfies { [Table in keyof Schema]: { [Column in keyof Schema[Table]]: TypeOf<Schema[Table][Column]> } }

/** The column types that pg reads as each TypeScript type, with `?` exactly where it has null. */
type TypeOf<Column> =
  null extends Selected<Column> ? `${Named<NonNullable<Selected<Column>>>}?` : Named<Selected<Column>>
type Selected<Column> = Column extends { readonly __select__: infer Read } ? Read : Column
type Named<Read> = Read extends boolean
  ? 'boolean'
  : Read extends number
    ? 'integer' | 'smallint'
    : Read extends string
      ? 'text' | 'uuid' | 'bigint'
      : Read extends Date
        ? 'timestamptz' | 'date'
        : Read extends Buffer
          ? 'bytea'
          : Read extends string[]
            ? 'text[]' | 'jsonb'
            : Read extends Date[]
              ? 'timestamptz[]'
              : 'jsonb'

let database: TestDatabase
const found: Record<string, Record<string, string>> = {}

beforeAll(async () => {
  database = await createTestDatabase()
  const columns = await database.asOwner<{ table: string; column: string; type: string; nullable: boolean }>(`
    SELECT table_name AS table, column_name AS column, is_nullable = 'YES' AS nullable,
      CASE WHEN data_type = 'ARRAY' THEN substr(udt_name, 2) || '[]' WHEN udt_name = 'timestamptz' THEN udt_name ELSE data_type END AS type
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'mintmark_migration%'
      AND NOT (SELECT relispartition FROM pg_class WHERE oid = format('%I', table_name)::regclass)
    ORDER BY ordinal_position`)
  for (const { table, column, type, nullable } of columns) {
    found[table] = { ...found[table], [column]: nullable ? `${type}?` : type }
  }
})
afterAll(() => database.drop())

describe('the interface Schema', () => {
  it('has every table, and no other', () => {
    expect(Object.keys(found).sort()).toEqual(Object.keys(TABLES).sort())
  })
  it.each(Object.keys(TABLES))(
    'has every column of %s, of its type, nullable where Postgres says so',
    table => {
      expect(found[table]).toEqual(TABLES[table as keyof typeof TABLES])
    },
  )
})

describe('limits in a row', () => {
  const write = (limits: string) =>
    database.asOwner("UPDATE tiers SET limits = $1 WHERE name = 'standard' RETURNING limits", [limits])

  it.each(['{}', '{"requests_per_minute": 1, "tokens_per_day": 4294967295}'])('may be %s', async limits => {
    expect(await write(limits)).toEqual([{ limits: JSON.parse(limits) }])
  })

  it.each([
    ...['[]', 'null', '1', '{"requests_per_hour": 1}', '{"requests_per_minute": null}'],
    ...['0', '-1', '1.5', '4294967296', '1e400', '"5"', 'true', '[5]', '{}'].map(
      value => `{"tokens_per_day": ${value}}`,
    ),
  ])('may not be %s', async limits => {
    await expect(write(limits)).rejects.toThrow('tiers_limits_check')
  })

  it('are checked alike in each table', async () => {
    const checks = await database.asOwner<{ text: string; tables: number }>(`
      SELECT pg_get_constraintdef(oid) AS text, count(*)::int AS tables FROM pg_constraint
      WHERE conname IN ('tiers_limits_check', 'tenants_limits_check', 'api_keys_limits_check') GROUP BY 1`)
    expect(checks.map(({ tables }) => tables)).toEqual([3])
  })
})
