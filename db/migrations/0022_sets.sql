-- Sets of objects that "mintmark apply" keeps as its files say: docs/decisions/0028-sets-of-objects.md

-- Which set an object belongs to: at most one. The row goes with its object.
CREATE TABLE set_objects (
  seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  set_name    text NOT NULL CHECK (set_name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
  kind        text NOT NULL CHECK (kind IN ('tier', 'model', 'adapter', 'tenant', 'key', 'identity-provider')),
  -- The name in the set: of a key its tenant and name, because ids of keys are generated.
  name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 300),
  tier        text UNIQUE REFERENCES tiers ON DELETE CASCADE,
  model       text UNIQUE REFERENCES models ON DELETE CASCADE,
  tenant_id   text UNIQUE REFERENCES tenants ON DELETE CASCADE,
  key_id      text UNIQUE REFERENCES api_keys ON DELETE CASCADE,
  provider_id text UNIQUE REFERENCES identity_providers ON DELETE CASCADE,
  object_id   text NOT NULL GENERATED ALWAYS AS (coalesce(tier, model, tenant_id, key_id, provider_id)) STORED,
  -- Whether the set created the object. What it only took over is never deleted with it.
  made        boolean NOT NULL,
  created_by  text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT set_objects_name UNIQUE (set_name, kind, name),
  CONSTRAINT set_objects_one_object CHECK (num_nonnulls(tier, model, tenant_id, key_id, provider_id) = 1)
);

-- Secrets of a rotation that waits: the older secrets stay valid until the new one is confirmed or used. One that is neither
-- by `confirm_by` is revoked.
CREATE TABLE pending_secrets (
  secret_id       text PRIMARY KEY REFERENCES api_key_secrets ON DELETE CASCADE,
  confirm_by      timestamptz NOT NULL,
  overlap_seconds integer NOT NULL CHECK (overlap_seconds BETWEEN 0 AND 2592000)
);
