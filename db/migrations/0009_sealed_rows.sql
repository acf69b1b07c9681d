-- Rows that grant trust carry a seal: a MAC over their meaning, with a key derived from encryption keys and peppers, which
-- the database never holds (src/installation/row-seals.ts; docs/decisions/0016-sealed-rows.md). "mintmark seal" seals the
-- rows that exist.
ALTER TABLE signing_keys
  ADD COLUMN sealed_with text,    -- version, encryption key id, pepper id: 'v1:e1:p1'
  ADD COLUMN seal        bytea;   -- HMAC-SHA-256
ALTER TABLE api_key_secrets
  ADD COLUMN sealed_with text,    -- of imported secrets only
  ADD COLUMN seal        bytea;

-- One verified active and standby key per algorithm is the rule of src/signing-keys/rotation.ts, under the lock of the
-- installation row. As unique indexes it would let a row that is not genuine block a rotation.
DROP INDEX signing_keys_one_active;
DROP INDEX signing_keys_one_standby;

-- An older version does not know seals. Its writes are refused, so that it cannot invalidate the seal of a row in use; it
-- exchanges and signs as before. This protects an upgrade and careless SQL. It does not stop a role that
-- changes the seal as well: the seal does.
CREATE FUNCTION require_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.seal IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.seal IS DISTINCT FROM OLD.seal) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a row of % was written without its seal', TG_TABLE_NAME
    USING ERRCODE = 'lock_not_available',   -- 503 with Retry-After in older versions
      HINT = 'Replicas of a version before 0.3.0 cannot change signing keys and imported clients. Use the API of a newer one.';
END
$$;
CREATE TRIGGER require_seal BEFORE INSERT ON signing_keys FOR EACH ROW EXECUTE FUNCTION require_seal();
CREATE TRIGGER require_seal_update BEFORE UPDATE OF kid, alg, state, public_jwk, private_encrypted, encryption_key_id,
    published_at, activates_at, retires_at, forgets_at, held ON signing_keys
  FOR EACH ROW WHEN (NEW.state <> 'removed') EXECUTE FUNCTION require_seal();
CREATE TRIGGER require_seal BEFORE INSERT ON api_key_secrets
  FOR EACH ROW WHEN (NEW.client_id IS NOT NULL) EXECUTE FUNCTION require_seal();
CREATE TRIGGER require_seal_update BEFORE UPDATE OF key_id, ends_at, revoked_at, client_id, scheme, hash ON api_key_secrets
  FOR EACH ROW WHEN (NEW.client_id IS NOT NULL AND NEW.revoked_at IS NULL) EXECUTE FUNCTION require_seal();

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

-- The last audit row before rows had seals. What was created later was created with one. The tables are locked, so no change of
-- theirs is in flight.
CREATE TABLE sealed_since (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  audit_id  bigint NOT NULL
);
INSERT INTO sealed_since (audit_id) SELECT coalesce(max(id), 0) FROM audit_events;
