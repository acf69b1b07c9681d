/**
 * What a change of a column by the application's database role does, for every column of every table without a seal. A new column
 * fails test/installation/columns.test.ts until it is here; one that grants trust gets a seal instead (decision 0016).
 */
export interface Columns {
  /** It cannot be made without a pepper. */
  pepper?: string
  /** It is honoured as the database has it: rights, and what lifts or ends something. docs/sealed-rows.md names the table. */
  honoured?: string
  /** It says what happened or what comes next, and grants nothing. */
  record?: string
}

const MADE = 'created_at updated_at created_by seq'
const COUNTED =
  'requests refused_requests estimated_requests adjusted_requests input_tokens cached_input_tokens output_tokens'
const OF_USAGE = 'tenant_id key_id model reporter_id labels'

export const UNSEALED: Readonly<Record<string, Columns>> = {
  installation: {
    honoured:
      'signing_alg other_signing_algs audience_signing_algs rotation_interval_seconds publish_lead_seconds max_key_lifetime_seconds unending_keys_allowed max_live_keys_per_tenant tenant_writes_per_minute contact_required usage_dedup_seconds usage_retention_days longest_token_ttl_seconds longest_staleness_seconds pepper_checks current_pepper encryption_key_checks current_encryption_key',
    record: 'singleton id issuer created_at',
  },
  tiers: { honoured: 'name priority limits', record: 'description seq created_at updated_at' },
  models: {
    honoured: 'name kind base_model base_kind',
    record: 'max_model_len description seq created_at updated_at',
  },
  tenants: {
    honoured:
      'id suspended_at tier scopes models_limited audiences token_ttl_seconds staleness_seconds max_key_lifetime_seconds limits token_epoch',
    record: 'name description labels contact escalation seq created_at updated_at',
  },
  tenant_tiers: { honoured: 'tenant_id tier', record: 'position' },
  tenant_grants: { honoured: 'tenant_id model', record: 'position' },
  deleted_tenants: { honoured: 'id', record: 'deleted_at' },
  api_keys: {
    honoured:
      'id tenant_id tier scopes models_limited adapters_limited audiences token_ttl_seconds limits token_epoch expires_at disabled_at revoked_at',
    record: `name description labels contact escalation revoked_reason last_used_on ${MADE}`,
  },
  key_grants: { honoured: 'key_id model', record: 'position' },
  secret_proofs: { pepper: 'secret_id digest pepper_id', record: 'proven_at' },
  key_usage: { record: 'key_id day outcome count' },
  replicas: { record: 'id host started_at seen_at staleness_seconds kids gateways' },
  change_counter: {
    record: 'singleton number audit_id audit_hash audit_cut_id audit_cut_hash',
  },
  change_feed: { record: 'number id changes created_at' },
  audit_events: {
    record:
      'id at actor action target_kind target_id tenant_id request_id source changes outcome previous_hash hash',
  },
  audit_checkpoints: { record: 'id jws at' },
  admin_tokens: {
    pepper: 'digest pepper_id',
    honoured: 'id role tenant_id audiences expires_at revoked_at',
    record: 'name revoked_reason last_used_at created_by created_at seq',
  },
  idempotency_keys: {
    record: 'actor method path key body_digest target_kind target_id answer created_at',
  },
  token_revocations: {
    honoured: 'claim value ends_at',
    record: 'id seq key_id tenant_id reason created_at',
  },
  used_assertions: { honoured: 'digest expires_at' },
  sealed_since: { record: 'singleton audit_id' },
  maker_fill: { record: 'singleton audit_id' },
  restores: {
    record:
      'id noticed_at noticed_by known_id known_hash known_at found_id found_hash reconciled_at reconciled_by',
  },
  tombstones: { honoured: 'kind id ended_at state', record: 'owner restore_id reason' },
  deleted_identities: { honoured: 'id', record: 'owner deleted_at' },
  set_objects: {
    record: `set_name kind name tier model tenant_id key_id provider_id reporter_id object_id created_by_set created_by created_at seq`,
  },
  pending_secrets: { honoured: 'secret_id confirm_by overlap_seconds' },
  usage_reporters: {
    pepper: 'digest pepper_id',
    honoured: 'id audiences deleted_at later_secret_id secret_id',
    record: 'name created_by created_at seq voided_since corrected_hours',
  },
  usage_reporter_secrets: { pepper: 'digest pepper_id', honoured: 'id reporter_id ends_at' },
  usage_records: {
    record:
      'slot hour reporter_id id received_at booked tenant_id key_id model refused estimated input_tokens cached_input_tokens output_tokens',
  },
  usage_totals: { record: `hour ${OF_USAGE} ${COUNTED}` },
  usage_rollups: { record: `unit start ${OF_USAGE} labels_md5 ${COUNTED}` },
  usage_rolled: { record: 'unit start finish' },
  usage_ledger: { record: 'singleton open_from' },
}
