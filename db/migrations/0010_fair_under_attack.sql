-- What keeps one caller from taking what others need: remembered comparisons, and limits on a tenant.

-- Proofs that an imported secret was compared with its hash and matched, so that a restarted process need not compare it
-- again: HMAC-SHA-256(pepper, client_id, hash, secret). A table of its own, because nothing else reads or locks it; a row
-- may be deleted at any time, which costs one comparison.
CREATE TABLE secret_proofs (
  secret_id text PRIMARY KEY REFERENCES api_key_secrets ON DELETE CASCADE,
  digest    bytea NOT NULL CHECK (length(digest) = 32),
  pepper_id text NOT NULL,
  proven_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE installation
  -- Keys of one tenant that are neither revoked nor expired.
  ADD COLUMN max_live_keys_per_tenant integer NOT NULL DEFAULT 10000 CHECK (max_live_keys_per_tenant > 0),
  -- Changes by the administrators of one tenant, per minute and replica.
  ADD COLUMN tenant_writes_per_minute integer NOT NULL DEFAULT 300 CHECK (tenant_writes_per_minute > 0);
