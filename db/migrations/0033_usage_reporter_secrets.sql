-- A usage reporter gets another secret, and the one before stays valid for a while: docs/decisions/0042-secrets-of-reporters.md.

-- The name of its newest secret. The first one is named after the reporter, so it has the same name in every copy of the database.
ALTER TABLE usage_reporters
  ADD COLUMN later_secret_id text CHECK (later_secret_id ~ '^sec_[0-9A-Za-z]{16}$'),
  ADD COLUMN secret_id text NOT NULL UNIQUE GENERATED ALWAYS AS (coalesce(later_secret_id, 'sec_' || substr(id, 5))) STORED;

-- The secrets that it had before. Those that ended stay, so that a restored database is known by them.
CREATE TABLE usage_reporter_secrets (
  id          text PRIMARY KEY CHECK (id ~ '^sec_[0-9A-Za-z]{16}$'),
  reporter_id text NOT NULL REFERENCES usage_reporters,
  digest      bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
  pepper_id   text NOT NULL,
  ends_at     timestamptz NOT NULL
);
CREATE INDEX usage_reporter_secrets_reporter ON usage_reporter_secrets (reporter_id, ends_at);

ALTER TABLE tombstones
  DROP CONSTRAINT tombstones_kind_check,
  ADD CONSTRAINT tombstones_kind_check CHECK (kind IN ('key_revoked', 'key_disabled', 'secret_ended', 'tenant_suspended',
    'tenant_deleted', 'signing_key_revoked', 'admin_token_revoked', 'credential_deleted', 'provider_deleted',
    'usage_reporter_deleted', 'usage_reporter_secret_ended'));
