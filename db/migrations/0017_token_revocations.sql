-- Ending tokens that are already out: docs/decisions/0025-ending-issued-tokens.md

-- `length` random characters of 0-9A-Za-z, at most 30.
CREATE FUNCTION random_base62(length integer) RETURNS text LANGUAGE sql VOLATILE
AS $$
  SELECT left(translate(encode(sha256(decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')),
    'base64'), '+/=', ''), length)
$$;

-- The claim tenant_epoch. Ending all tokens of the tenant replaces it.
ALTER TABLE tenants ADD COLUMN token_epoch text NOT NULL DEFAULT random_base62(8)
  CONSTRAINT tenants_token_epoch_check CHECK (token_epoch ~ '^[0-9A-Za-z]{8}$');
-- The claim key_epoch; NULL: the last 8 characters of the id, which are random. So no row is rewritten.
ALTER TABLE api_keys ADD COLUMN token_epoch text
  CONSTRAINT api_keys_token_epoch_check CHECK (token_epoch ~ '^[0-9A-Za-z]{8}$');

-- The deny list. A token with this value of this claim is rejected, whatever else it says. A row is removed once no token
-- can have it any more. Keys and tenants are named without a reference, because a row outlives them.
CREATE TABLE token_revocations (
  id         text PRIMARY KEY DEFAULT 'trv_' || random_base62(16) CHECK (id ~ '^trv_[0-9A-Za-z]{16}$'),
  seq        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  claim      text NOT NULL CHECK (claim IN ('jti', 'key_epoch', 'tenant_epoch')),
  value      text NOT NULL CHECK (value ~ '^[-_0-9A-Za-z]{1,64}$'),
  key_id     text CHECK (key_id IS NOT NULL OR claim <> 'key_epoch'),
  tenant_id  text CHECK (tenant_id IS NOT NULL OR claim = 'jti'),
  reason     text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ends_at    timestamptz NOT NULL,
  UNIQUE (claim, value)
);
CREATE INDEX token_revocations_key ON token_revocations (key_id) WHERE key_id IS NOT NULL;
CREATE INDEX token_revocations_tenant ON token_revocations (tenant_id, seq) WHERE tenant_id IS NOT NULL;
CREATE INDEX token_revocations_end ON token_revocations (ends_at);

-- Introspection tokens (mmi_): they ask about tokens of these audiences, and have no right of an administrator.
ALTER TABLE admin_tokens ADD COLUMN audiences text[] CHECK (cardinality(audiences) BETWEEN 1 AND 100);
ALTER TABLE admin_tokens
  DROP CONSTRAINT admin_tokens_role_check,
  ADD CONSTRAINT admin_tokens_role_check
    CHECK (role IN ('owner', 'operator', 'auditor', 'tenant-admin', 'introspector')),
  ADD CONSTRAINT admin_tokens_introspector_has_audiences
    CHECK ((role = 'introspector') = (audiences IS NOT NULL));
