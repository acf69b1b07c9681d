-- Workload identity: outside issuers, and credentials of keys that are not secrets (src/identity-providers).

-- Both kinds of rows grant trust, so each carries a seal over its meaning (0009_sealed_rows.sql). A definition is the JSON
-- text that was sealed. Every text is bounded, so that a forged row is no larger than a genuine one.
CREATE TABLE identity_providers (
  id          text PRIMARY KEY CHECK (id ~ '^idp_[0-9A-Za-z]{16}$'),
  seq         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  definition  text NOT NULL CHECK (length(definition) <= 131072 AND jsonb_typeof(definition::jsonb) = 'object'),
  created_by  text CHECK (length(created_by) <= 64),
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  sealed_with text NOT NULL CHECK (length(sealed_with) <= 128),
  seal        bytea NOT NULL CHECK (length(seal) <= 64)
);

CREATE TABLE key_credentials (
  id           text PRIMARY KEY CHECK (id ~ '^crd_[0-9A-Za-z]{16}$'),
  seq          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  key_id       text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
  -- null: a public key
  provider_id  text REFERENCES identity_providers,
  definition   text NOT NULL CHECK (length(definition) <= 32768 AND jsonb_typeof(definition::jsonb) = 'object'),
  created_by   text CHECK (length(created_by) <= 64),
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  sealed_with  text NOT NULL CHECK (length(sealed_with) <= 128),
  seal         bytea NOT NULL CHECK (length(seal) <= 64)
);
CREATE INDEX key_credentials_key ON key_credentials (key_id);
CREATE INDEX key_credentials_provider ON key_credentials (provider_id);
