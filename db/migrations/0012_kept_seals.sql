-- A seal is changed, and removed only with what it seals: a sealed row never looks like one of an older version, which
-- "mintmark seal" would seal as it is then.
CREATE FUNCTION keep_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the seal of a row of % cannot be removed', TG_TABLE_NAME
    USING HINT = 'To end a row that grants trust, revoke it.';
END
$$;
CREATE TRIGGER keep_seal BEFORE UPDATE OF sealed_with, seal ON signing_keys
  FOR EACH ROW WHEN (NEW.state <> 'removed'
    AND (OLD.seal IS NOT NULL AND NEW.seal IS NULL OR OLD.sealed_with IS NOT NULL AND NEW.sealed_with IS NULL))
  EXECUTE FUNCTION keep_seal();
CREATE TRIGGER keep_seal BEFORE UPDATE OF sealed_with, seal ON api_key_secrets
  FOR EACH ROW WHEN (NEW.client_id IS NOT NULL AND NEW.revoked_at IS NULL
    AND (OLD.seal IS NOT NULL AND NEW.seal IS NULL OR OLD.sealed_with IS NOT NULL AND NEW.sealed_with IS NULL))
  EXECUTE FUNCTION keep_seal();

-- The last audit row before rows had seals, which was when 0009 was applied. What was created later was created with one.
CREATE TABLE sealed_since (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  audit_id  bigint NOT NULL
);
INSERT INTO sealed_since (audit_id)
  SELECT coalesce(max(id), 0) FROM audit_events
  WHERE at <= (SELECT "timestamp"::timestamptz FROM mintmark_migration WHERE name = '0009_sealed_rows');
