-- Admin tokens, and idempotency keys that make retries safe.

-- Formatted and stored like API keys: only HMAC-SHA-256(pepper, whole token); rows are looked up by it.
CREATE TABLE admin_tokens (
  id             text PRIMARY KEY CHECK (id ~ '^adm_[0-9A-Za-z]{16}$'),
  seq            bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name           text NOT NULL,
  role           text NOT NULL CHECK (role IN ('owner', 'operator', 'auditor', 'tenant-admin')),
  tenant_id      text REFERENCES tenants ON DELETE CASCADE,
  digest         bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
  pepper_id      text NOT NULL,
  created_by     text NOT NULL,   -- 'root', or the admin token that issued it
  created_at     timestamptz NOT NULL DEFAULT now(),
  expires_at     timestamptz,     -- null: never
  revoked_at     timestamptz,
  revoked_reason text,
  last_used_at   timestamptz,
  CONSTRAINT admin_tokens_tenant_admin_is_bound CHECK ((role = 'tenant-admin') = (tenant_id IS NOT NULL))
);
CREATE INDEX admin_tokens_tenant ON admin_tokens (tenant_id, seq DESC) WHERE tenant_id IS NOT NULL;
CREATE INDEX admin_tokens_created_by ON admin_tokens (created_by);
CREATE INDEX admin_tokens_pepper ON admin_tokens (pepper_id);

-- Results of POSTs with an Idempotency-Key, each written in the transaction of its change; the response is added
-- afterwards, without its secret.
CREATE TABLE idempotency_keys (
  actor       text NOT NULL,
  method      text NOT NULL,
  path        text NOT NULL,
  key         text NOT NULL,
  body_digest bytea NOT NULL CHECK (length(body_digest) = 32),
  target_kind text,
  target_id   text,
  answer      jsonb,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (actor, method, path, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- Maximum lifetime of the tenant's keys; null: the policy's.
ALTER TABLE tenants ADD COLUMN max_key_lifetime_seconds integer CHECK (max_key_lifetime_seconds > 0);
