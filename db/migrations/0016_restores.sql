-- Restores of this database to an older state that replicas noticed, and what ended after the backup (docs/decisions/
-- 0024-restores-and-tombstones.md).
CREATE TABLE restores (
  id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  noticed_at    timestamptz NOT NULL DEFAULT now(),
  noticed_by    text NOT NULL,     -- host and process
  known_id      bigint NOT NULL,   -- the last audit row that a replica knew, and the database does not have
  known_hash    bytea NOT NULL CHECK (length(known_hash) = 32),
  known_at      timestamptz NOT NULL,
  found_id      bigint NOT NULL,   -- the last audit row of the database at that moment
  found_hash    bytea NOT NULL CHECK (length(found_hash) = 32),
  reconciled_at timestamptz,
  reconciled_by text
);

-- An object that ended, and that the restored database has as usable. The instant is part of its identity: an object that
-- is ended again later is another tombstone.
CREATE TABLE tombstones (
  kind       text NOT NULL CHECK (kind IN ('key_revoked', 'key_disabled', 'secret_ended', 'tenant_suspended',
    'tenant_deleted', 'signing_key_revoked', 'admin_token_revoked', 'credential_deleted', 'provider_deleted',
    'usage_reporter_deleted')),
  id         text NOT NULL CHECK (length(id) BETWEEN 1 AND 128),
  ended_at   timestamptz NOT NULL,
  owner      text,                 -- the key of a secret or credential, the tenant of a key
  restore_id uuid NOT NULL REFERENCES restores,
  state      text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'applied', 'waived')),
  reason     text,                 -- of a waiver
  PRIMARY KEY (kind, id, ended_at)
);
CREATE INDEX tombstones_pending ON tombstones (kind) WHERE state = 'pending';
