-- Automatic rotation of signing keys: several algorithms at a time, and a record of the keys that each replica publishes,
-- so that an emergency revocation can report which replicas may still sign with the revoked key.

ALTER TABLE installation
  ADD COLUMN other_signing_algs text[] NOT NULL DEFAULT '{}'
    CHECK (other_signing_algs <@ ARRAY['ES256', 'RS256', 'PS256', 'EdDSA']),
  ADD COLUMN audience_signing_algs jsonb NOT NULL DEFAULT '{}';   -- {"<audience>": "<alg>"}

-- When the private key of a retiring key is deleted: no disconnected replica can need it after that.
ALTER TABLE signing_keys ADD COLUMN forgets_at timestamptz;

-- One row for each serving process, written by itself. For information only.
CREATE TABLE replicas (
  id                uuid PRIMARY KEY,
  host              text NOT NULL,
  started_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at           timestamptz NOT NULL,
  staleness_seconds integer NOT NULL,
  kids              text[] NOT NULL      -- of the keys that it publishes and may sign with
);
