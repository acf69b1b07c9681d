-- Sums of whole days and months, so that a year of all tenants is read without its hours: docs/decisions/0032-usage-rollups.md.

-- Copies of what usage_totals has, by the labels of its rows. Only those count that are listed in usage_rolled.
CREATE TABLE usage_rollups (
  unit                text NOT NULL CHECK (unit IN ('day', 'month')),
  start               timestamptz NOT NULL,   -- UTC
  tenant_id           text NOT NULL,
  key_id              text NOT NULL,
  model               text NOT NULL,
  reporter_id         text NOT NULL,
  labels              jsonb NOT NULL,
  labels_md5          text NOT NULL GENERATED ALWAYS AS (md5(labels::text)) STORED,
  requests            bigint NOT NULL,
  refused_requests    bigint NOT NULL,
  estimated_requests  bigint NOT NULL,
  adjusted_requests   bigint NOT NULL,
  input_tokens        bigint NOT NULL,
  cached_input_tokens bigint NOT NULL,
  output_tokens       bigint NOT NULL,
  PRIMARY KEY (unit, start, tenant_id, key_id, model, reporter_id, labels_md5)
);

-- The days and months whose rows in usage_rollups are the sums of their hours.
CREATE TABLE usage_rolled (
  unit   text NOT NULL CHECK (unit IN ('day', 'month')),
  start  timestamptz NOT NULL,
  finish timestamptz NOT NULL,   -- where the next one begins
  PRIMARY KEY (unit, start)
);

-- Whatever changes an hour: its day and month are not summed any more. A trigger, so that it holds for processes of an older
-- version too, and for changes by hand.
CREATE FUNCTION forget_usage_rollups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM usage_rolled AS r USING (SELECT DISTINCT hour FROM changed) AS c
    WHERE c.hour >= r.start AND c.hour < r.finish;
  RETURN NULL;
END
$$;
CREATE TRIGGER usage_totals_inserted AFTER INSERT ON usage_totals
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION forget_usage_rollups();
CREATE TRIGGER usage_totals_updated AFTER UPDATE ON usage_totals
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION forget_usage_rollups();
CREATE TRIGGER usage_totals_deleted AFTER DELETE ON usage_totals
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION forget_usage_rollups();
