-- The schema of an installation. Where a constraint can express it, names and lists that reach a gateway are checked here
-- too, so that neither code nor manual SQL can store what a token must not contain (design: the token contract).

-- One row: the installation's identity, and the secrets that a process must have to serve it.
CREATE TABLE installation (
  singleton                 boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  id                        uuid NOT NULL DEFAULT gen_random_uuid(),
  issuer                    text NOT NULL,
  pepper_checks             jsonb NOT NULL,   -- {"<pepper id>": "<check value>"}, never the pepper
  current_pepper            text NOT NULL,
  encryption_key_checks     jsonb NOT NULL,   -- {"<encryption key id>": "<check value>"}, never the key
  current_encryption_key    text NOT NULL,
  signing_alg               text NOT NULL CHECK (signing_alg IN ('ES256', 'RS256', 'PS256', 'EdDSA')),
  rotation_interval_seconds integer NOT NULL CHECK (rotation_interval_seconds > 0),
  publish_lead_seconds      integer NOT NULL CHECK (publish_lead_seconds > 0),
  max_key_lifetime_seconds  integer NOT NULL DEFAULT 31536000 CHECK (max_key_lifetime_seconds > 0),
  unending_keys_allowed     boolean NOT NULL DEFAULT false,
  longest_token_ttl_seconds integer NOT NULL CHECK (longest_token_ttl_seconds BETWEEN 60 AND 3600),
  longest_staleness_seconds integer NOT NULL CHECK (longest_staleness_seconds BETWEEN 0 AND 86400),
  created_at                timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tiers (
  name        text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][-A-Za-z0-9._:/@]{0,95}$'),
  seq         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  priority    integer NOT NULL,   -- vLLM's scale: a lower value is served sooner
  description text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tiers (name, priority, description) VALUES
  ('premium', -10, 'Served before the others'),
  ('standard', 0, 'The default'),
  ('batch', 10, 'Served when there is room');

-- Base models and LoRA adapters. The engine has one namespace for both, so they share one primary key.
CREATE TABLE models (
  name        text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][-A-Za-z0-9._:/@]{0,95}$' AND name <> 'none'),
  seq         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  kind        text NOT NULL CHECK (kind IN ('model', 'adapter')),
  base_model  text,
  base_kind   text GENERATED ALWAYS AS (CASE WHEN base_model IS NOT NULL THEN 'model' END) STORED,
  description text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT models_name_kind UNIQUE (name, kind),
  CONSTRAINT models_adapter_has_base CHECK ((kind = 'adapter') = (base_model IS NOT NULL)),
  CONSTRAINT models_base_model FOREIGN KEY (base_model, base_kind) REFERENCES models (name, kind)
);
CREATE INDEX models_base_model_index ON models (base_model) WHERE base_model IS NOT NULL;

CREATE TABLE tenants (
  id                text PRIMARY KEY CHECK (id ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
  seq               bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name              text NOT NULL,
  description       text NOT NULL DEFAULT '',
  labels            jsonb NOT NULL DEFAULT '{}',
  suspended_at      timestamptz,
  tier              text NOT NULL,
  scopes            text[] NOT NULL,
  models_limited    boolean NOT NULL DEFAULT false,   -- false: every registered base model
  audiences         text[] NOT NULL CHECK (cardinality(audiences) > 0),
  token_ttl_seconds integer CHECK (token_ttl_seconds BETWEEN 60 AND 3600),
  staleness_seconds integer CHECK (staleness_seconds = 0 OR staleness_seconds BETWEEN 5 AND 86400),
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenant_tiers (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  tier      text NOT NULL REFERENCES tiers,
  position  smallint NOT NULL,
  PRIMARY KEY (tenant_id, tier)
);
CREATE INDEX tenant_tiers_tier ON tenant_tiers (tier);
-- A tenant's tier is one of its allowed tiers after each write.
ALTER TABLE tenants ADD CONSTRAINT tenants_tier_is_allowed
  FOREIGN KEY (id, tier) REFERENCES tenant_tiers (tenant_id, tier) DEFERRABLE INITIALLY DEFERRED;

-- The models and adapters that a tenant may use.
CREATE TABLE tenant_grants (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  model     text NOT NULL REFERENCES models (name),
  position  smallint NOT NULL,
  PRIMARY KEY (tenant_id, model)
);
CREATE INDEX tenant_grants_model ON tenant_grants (model);

-- A deleted tenant's id is never reused: an old token or log line must not refer to another tenant.
CREATE TABLE deleted_tenants (
  id         text PRIMARY KEY,
  deleted_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id                text PRIMARY KEY CHECK (id ~ '^key_[0-9A-Za-z]{16}$'),
  seq               bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  tenant_id         text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  name              text NOT NULL,
  description       text NOT NULL DEFAULT '',
  labels            jsonb NOT NULL DEFAULT '{}',
  tier              text REFERENCES tiers,             -- null: the tenant's
  scopes            text[] NOT NULL,
  models_limited    boolean NOT NULL DEFAULT false,   -- false: the tenant's
  adapters_limited  boolean NOT NULL DEFAULT false,   -- false: the tenant's
  audiences         text[],                           -- null: the tenant's
  token_ttl_seconds integer CHECK (token_ttl_seconds BETWEEN 60 AND 3600),
  expires_at        timestamptz,                      -- null: never
  disabled_at       timestamptz,
  revoked_at        timestamptz,
  revoked_reason    text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, seq DESC);
CREATE INDEX api_keys_tier ON api_keys (tier) WHERE tier IS NOT NULL;

CREATE TABLE key_grants (
  key_id   text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
  model    text NOT NULL REFERENCES models (name),
  position smallint NOT NULL,
  PRIMARY KEY (key_id, model)
);
CREATE INDEX key_grants_model ON key_grants (model);

-- The secrets of keys. Only HMAC-SHA-256(pepper, whole key) is stored; rows are looked up by it.
CREATE TABLE api_key_secrets (
  id           text PRIMARY KEY CHECK (id ~ '^sec_[0-9A-Za-z]{16}$'),
  seq          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  key_id       text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
  digest       bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
  pepper_id    text NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  ends_at      timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz
);
CREATE INDEX api_key_secrets_key ON api_key_secrets (key_id);
CREATE INDEX api_key_secrets_pepper ON api_key_secrets (pepper_id);

-- standby (published, not used) -> active -> retiring (published, not used) -> removed. A key becomes active at
-- activates_at; the private key is encrypted, and deleted once the key is removed.
CREATE TABLE signing_keys (
  kid               text PRIMARY KEY,
  alg               text NOT NULL CHECK (alg IN ('ES256', 'RS256', 'PS256', 'EdDSA')),
  state             text NOT NULL CHECK (state IN ('standby', 'active', 'retiring', 'removed')),
  public_jwk        jsonb NOT NULL CHECK (NOT public_jwk ?| ARRAY['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']),
  private_encrypted bytea,
  encryption_key_id text,
  published_at      timestamptz NOT NULL DEFAULT now(),
  activates_at      timestamptz,
  retires_at        timestamptz,
  removed_at        timestamptz,
  revoked_at        timestamptz,
  revoked_reason    text,
  held              boolean NOT NULL DEFAULT false,
  CHECK ((private_encrypted IS NULL) = (encryption_key_id IS NULL)),
  CHECK (state IN ('retiring', 'removed') OR private_encrypted IS NOT NULL),
  CHECK (state <> 'active' OR activates_at IS NOT NULL)
);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (alg) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_one_standby ON signing_keys (alg) WHERE state = 'standby';

-- The change feed: every mutating transaction ends by taking the next number, so commit order is number order.
CREATE TABLE change_counter (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  number    bigint NOT NULL
);
CREATE TABLE change_feed (
  number     bigint PRIMARY KEY,
  id         uuid NOT NULL DEFAULT gen_random_uuid(),
  changes    jsonb NOT NULL,   -- [{"kind": "tenant", "id": "acme"}, ...]
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO change_counter (number) VALUES (0);
INSERT INTO change_feed (number, changes) VALUES (0, '[]');

-- The application cannot delete from the feed, except by this function: rows older than a day, never the newest.
CREATE FUNCTION prune_change_feed(older_than interval) RETURNS bigint
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM change_feed
    WHERE created_at < now() - greatest(older_than, interval '1 day')
      AND number < (SELECT max(number) FROM change_feed)
    RETURNING 1
  ) SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION prune_change_feed(interval) FROM PUBLIC;

CREATE TABLE audit_events (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at          timestamptz NOT NULL DEFAULT now(),
  actor       text NOT NULL,       -- 'root', 'system', or an admin token's id
  action      text NOT NULL,       -- 'tenant.create', 'key.rotate', ...
  target_kind text NOT NULL,
  target_id   text NOT NULL,
  tenant_id   text,
  request_id  text,
  source      text,                -- address of the caller
  changes     jsonb NOT NULL       -- {"field": {"from": ..., "to": ...}}, never a secret
);
CREATE INDEX audit_events_target ON audit_events (target_kind, target_id, id DESC);
CREATE INDEX audit_events_tenant ON audit_events (tenant_id, id DESC) WHERE tenant_id IS NOT NULL;
