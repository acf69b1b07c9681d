-- Indexes of tables that may be large. "mintmark migrate" creates the missing ones, after the migrations and outside of
-- transactions, so that no other statement is blocked (docs/decisions/0014-indexes-without-locks.md).
-- Each statement begins with CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS and its name. A changed index gets a new
-- name, and a migration drops the old one.

-- 11: SPAN_BITS in src/database/spans.ts.
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_span_labels
  ON api_keys USING gin (key_label_marks(labels, seq >> 11)) WITH (fastupdate = off);
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_span_expiry ON api_keys ((seq >> 11), expires_at);
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_span_creation ON api_keys ((seq >> 11), created_at);
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_span_last_use ON api_keys ((seq >> 11), last_used_on, created_at);
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_events_span_at ON audit_events ((id >> 11), at);
-- The live keys of a tenant are counted when one is created.
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_tenant_live
  ON api_keys (tenant_id, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_created_by ON api_keys (created_by, seq);
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_key_secrets_added_by ON api_key_secrets (created_by, seq)
  WHERE by_rotation AND revoked_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS key_credentials_created_by ON key_credentials (created_by, seq);
-- What ended last: src/tombstones/.
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_disabled ON api_keys (disabled_at) WHERE disabled_at IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_key_secrets_ended ON api_key_secrets ((least(revoked_at, ends_at)))
  WHERE revoked_at IS NOT NULL OR ends_at IS NOT NULL;
-- A secret that is found without its client_id belongs to one key: src/api-keys/imported/.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS api_key_secrets_lookup_hash ON api_key_secrets (hash)
  WHERE scheme = 'sha256-lookup';
