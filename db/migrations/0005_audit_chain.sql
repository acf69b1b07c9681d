-- Turns the audit trail into a hash chain: each row's hash covers the row and the hash of the row before. The hash is of
-- the row as RFC 8785 JSON, without its own hash (src/audit/audit-chain.ts; docs/guides/audit.md).
-- id becomes the position in the chain: 1, 2, 3 and so on, without gaps, assigned under the lock of change_counter.
ALTER TABLE audit_events
  ALTER COLUMN id DROP IDENTITY,
  ADD COLUMN outcome text NOT NULL DEFAULT 'done' CHECK (outcome IN ('done', 'refused')),
  ADD COLUMN previous_hash bytea,
  ADD COLUMN hash bytea;

-- The head of the chain is stored with the feed's counter, so that one row lock orders both. The cut is the last row that
-- retention deleted. Without any row both are 0 and thirty-two zero bytes.
ALTER TABLE change_counter
  ADD COLUMN audit_id       bigint NOT NULL DEFAULT 0,
  ADD COLUMN audit_hash     bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(audit_hash) = 32),
  ADD COLUMN audit_cut_id   bigint NOT NULL DEFAULT 0,
  ADD COLUMN audit_cut_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(audit_cut_hash) = 32);

-- Existing rows are chained in their order.
CREATE FUNCTION canonical_json(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE jsonb_typeof(value)
    WHEN 'object' THEN (SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || canonical_json(member), ','
      ORDER BY key COLLATE "C"), '') || '}' FROM jsonb_each(value) AS each(key, member))
    WHEN 'array' THEN (SELECT '[' || coalesce(string_agg(canonical_json(member), ',' ORDER BY place), '') || ']'
      FROM jsonb_array_elements(value) WITH ORDINALITY AS each(member, place))
    ELSE value::text
  END;
END
$$;
DO $$
DECLARE
  event record;
  place bigint := 0;
  head  bytea := decode(repeat('00', 32), 'hex');
  own   bytea;
BEGIN
  FOR event IN SELECT * FROM audit_events ORDER BY id LOOP
    place := place + 1;
    own := sha256(convert_to(canonical_json(jsonb_build_object(
      'id', place, 'at', to_char(event.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'actor', event.actor, 'action', event.action, 'outcome', event.outcome, 'target_kind', event.target_kind,
      'target_id', event.target_id, 'tenant', event.tenant_id, 'request_id', event.request_id,
      'source', event.source, 'changes', event.changes, 'previous_hash', encode(head, 'hex'))), 'UTF8'));
    UPDATE audit_events SET id = place, previous_hash = head, hash = own WHERE id = event.id;
    head := own;
  END LOOP;
  UPDATE change_counter SET audit_id = place, audit_hash = head;
END
$$;
DROP FUNCTION canonical_json(jsonb);

ALTER TABLE audit_events
  ALTER COLUMN outcome DROP DEFAULT,
  ALTER COLUMN at DROP DEFAULT,
  ALTER COLUMN previous_hash SET NOT NULL,
  ALTER COLUMN hash SET NOT NULL,
  ADD CHECK (length(previous_hash) = 32),
  ADD CHECK (length(hash) = 32);

DROP INDEX audit_events_target;
CREATE INDEX audit_events_target ON audit_events (target_id, id DESC);
CREATE INDEX audit_events_actor ON audit_events (actor, id DESC);
CREATE INDEX audit_events_action ON audit_events (action, id DESC);
CREATE INDEX audit_events_at ON audit_events (at);

-- Signed statements of the head (src/audit/audit-checkpoint.ts), one per hour while there are new rows.
CREATE TABLE audit_checkpoints (
  id  bigint PRIMARY KEY,   -- of the row that was the head
  jws text NOT NULL,
  at  timestamptz NOT NULL DEFAULT now()
);

-- Append-only for every role, including the owner. Retention passes its limit to the trigger.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.id <= coalesce(nullif(current_setting('mintmark.audit_cut', true), ''), '0')::bigint THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'insufficient_privilege', HINT = 'prune_audit_events() lets old rows go.';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_events
  FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_events EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_checkpoints
  FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_checkpoints EXECUTE FUNCTION refuse_audit_change();

-- For the owner only: deletes at most so many of the oldest rows, none younger than ninety days and never the newest, and
-- records the new cut. Returns the number of deleted rows and the cut. "mintmark audit prune" runs it and adds an audit row.
CREATE FUNCTION prune_audit_events(older_than interval, most integer)
  RETURNS TABLE (pruned bigint, cut_id bigint, cut_hash bytea) LANGUAGE plpgsql AS $$
DECLARE
  cut record;
BEGIN
  PERFORM FROM change_counter FOR UPDATE;
  -- The chain is ordered by id, so rows are deleted by id: up to the first that is too young.
  SELECT event.id, event.hash INTO cut FROM (SELECT id, hash, at FROM audit_events ORDER BY id LIMIT most) AS event
    WHERE event.id < coalesce((SELECT min(id) FROM audit_events
      WHERE at >= now() - greatest(older_than, interval '90 days')), (SELECT audit_id FROM change_counter))
    ORDER BY event.id DESC LIMIT 1;
  IF cut.id IS NULL THEN
    RETURN QUERY SELECT 0::bigint, audit_cut_id, audit_cut_hash FROM change_counter;
    RETURN;
  END IF;
  PERFORM set_config('mintmark.audit_cut', cut.id::text, true);
  DELETE FROM audit_events WHERE id <= cut.id;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  DELETE FROM audit_checkpoints WHERE id < cut.id;
  PERFORM set_config('mintmark.audit_cut', '', true);
  UPDATE change_counter SET audit_cut_id = cut.id, audit_cut_hash = cut.hash;
  cut_id := cut.id;
  cut_hash := cut.hash;
  RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION prune_audit_events(interval, integer) FROM PUBLIC;
