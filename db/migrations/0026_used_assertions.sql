-- The client assertions that were used, of credentials with "single_use": "database": each is accepted once by all replicas.
-- `digest` is SHA-256 of the key and the jti. A row is removed some time after the assertion expired.
CREATE TABLE used_assertions (
  digest     bytea PRIMARY KEY CHECK (length(digest) = 32),
  expires_at timestamptz NOT NULL
);
CREATE INDEX used_assertions_end ON used_assertions (expires_at);
