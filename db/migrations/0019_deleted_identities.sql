-- Credentials and identity providers that were deleted: a restored database does not bring them back
-- (docs/decisions/0024-restores-and-tombstones.md).
CREATE TABLE deleted_identities (
  id         text PRIMARY KEY CHECK (id ~ '^(crd|idp)_[0-9A-Za-z]{16}$'),
  owner      text,                          -- the key of a credential
  deleted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deleted_identities_owner ON deleted_identities (owner);
