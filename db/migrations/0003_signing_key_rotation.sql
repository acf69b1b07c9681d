-- Signing keys that rotate by themselves: more than one algorithm at a time, and a record of which replica publishes
-- which keys, so that an emergency can say who still may sign with a revoked one.

ALTER TABLE installation
  ADD COLUMN other_signing_algs text[] NOT NULL DEFAULT '{}'
    CHECK (other_signing_algs <@ ARRAY['ES256', 'RS256', 'PS256', 'EdDSA']),
  ADD COLUMN audience_signing_algs jsonb NOT NULL DEFAULT '{}';   -- {"<audience>": "<alg>"}

-- When the private half of a retiring key goes: no replica that is cut off can still need it then.
ALTER TABLE signing_keys ADD COLUMN forgets_at timestamptz;

-- One row for each process that serves, which it writes itself. Nothing is decided by it.
CREATE TABLE replicas (
  id                uuid PRIMARY KEY,
  host              text NOT NULL,
  started_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at           timestamptz NOT NULL,
  staleness_seconds integer NOT NULL,
  kids              text[] NOT NULL      -- of the keys that it publishes and may sign with
);
