-- Who created a key or a secret: `root`, or an admin token's id. null: created before this version. "mintmark migrate" then fills
-- it from the audit trail, where that still has the row (src/database/creators.ts). The indexes are in db/indexes.sql.
ALTER TABLE api_keys ADD COLUMN created_by text;
ALTER TABLE api_key_secrets
  ADD COLUMN created_by  text,
  ADD COLUMN by_rotation boolean NOT NULL DEFAULT false;   -- added to an existing key

-- The last audit row that was read for it.
CREATE TABLE maker_fill (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  audit_id  bigint NOT NULL
);
INSERT INTO maker_fill (audit_id) VALUES (0);
