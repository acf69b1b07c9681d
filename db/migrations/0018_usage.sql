-- Usage that gateways report: docs/decisions/0026-usage.md.

-- A gateway, or a collector in front of gateways. Deleted ones stay, because totals name them.
CREATE TABLE usage_reporters (
  id         text PRIMARY KEY CHECK (id ~ '^rep_[0-9A-Za-z]{16}$'),
  seq        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name       text NOT NULL,
  audiences  text[] NOT NULL CHECK (cardinality(audiences) BETWEEN 1 AND 100),
  digest     bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
  pepper_id  text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);

-- A partitioned table has no tablespace of its own: CREATE fails where default_tablespace names that of the database.
SELECT set_config('mintmark.default_tablespace', current_setting('default_tablespace'), true),
  set_config('default_tablespace', '', true);

-- Every record of the last hours, so that each counts once. A partition holds one hour in turn, and is truncated when that
-- hour is over and too old to be reported again: neither the table nor another partition is locked for it.
CREATE TABLE usage_records (
  slot                smallint NOT NULL,   -- hour modulo 32
  hour                timestamptz NOT NULL,   -- of the request
  reporter_id         text NOT NULL,
  id                  bytea NOT NULL,   -- the first 16 bytes of the SHA-256 of the gateway's id
  received_at         timestamptz NOT NULL,
  booked              timestamptz NOT NULL,   -- the hour of its totals: another one when its month was closed
  tenant_id           text NOT NULL,
  key_id              text NOT NULL,
  model               text NOT NULL,
  refused             boolean NOT NULL,
  estimated           boolean NOT NULL,
  input_tokens        bigint NOT NULL,
  cached_input_tokens bigint NOT NULL,
  output_tokens       bigint NOT NULL,
  PRIMARY KEY (slot, reporter_id, id, hour)
) PARTITION BY LIST (slot);
SELECT set_config('default_tablespace', current_setting('mintmark.default_tablespace'), true);

DO $$
BEGIN
  FOR slot IN 0..31 LOOP
    EXECUTE format('CREATE TABLE usage_records_%s PARTITION OF usage_records FOR VALUES IN (%s)', lpad(slot::text, 2, '0'), slot);
  END LOOP;
END
$$;

-- Sums of one hour (UTC). '' for the key or the model: not known. A correction of a closed month is in the hour in which it
-- was booked, and may be negative.
CREATE TABLE usage_totals (
  hour                timestamptz NOT NULL,
  tenant_id           text NOT NULL,
  key_id              text NOT NULL,
  model               text NOT NULL,
  reporter_id         text NOT NULL REFERENCES usage_reporters,
  labels              jsonb NOT NULL,   -- of the tenant and the key, at the first record of the hour
  requests            bigint NOT NULL DEFAULT 0,
  refused_requests    bigint NOT NULL DEFAULT 0,
  estimated_requests  bigint NOT NULL DEFAULT 0,
  adjusted_requests   bigint NOT NULL DEFAULT 0,
  input_tokens        bigint NOT NULL DEFAULT 0,
  cached_input_tokens bigint NOT NULL DEFAULT 0,
  output_tokens       bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, hour, key_id, model, reporter_id)
);
CREATE INDEX usage_totals_hour ON usage_totals (hour, reporter_id);

-- The time from which months are open. Older months close by themselves once none of their records is accepted any more.
CREATE TABLE usage_ledger (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  open_from timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO usage_ledger DEFAULT VALUES;

ALTER TABLE installation
  ADD COLUMN usage_dedup_seconds integer NOT NULL DEFAULT 3600 CHECK (usage_dedup_seconds BETWEEN 300 AND 86400),
  ADD COLUMN usage_retention_days integer NOT NULL DEFAULT 400 CHECK (usage_retention_days BETWEEN 32 AND 4000);

-- Empties the partitions of hours that ended longer ago than `keep`, at least an hour. The most recent hour of a slot is at most
-- one hour ahead. A partition that is in use is left for the next time. Returns the number of emptied partitions.
CREATE FUNCTION prune_usage_records(keep interval) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  newest CONSTANT bigint := floor(extract(epoch FROM clock_timestamp()) / 3600) + 1;
  oldest CONSTANT bigint := floor(extract(epoch FROM clock_timestamp() - greatest(keep, interval '1 hour')) / 3600);
  emptied integer := 0;
  used boolean;
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  FOR number IN newest - 31 .. oldest - 1 LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM usage_records_%s)', lpad((number % 32)::text, 2, '0')) INTO used;
    CONTINUE WHEN NOT used;
    BEGIN
      EXECUTE format('TRUNCATE usage_records_%s', lpad((number % 32)::text, 2, '0'));
      emptied := emptied + 1;
    EXCEPTION WHEN lock_not_available THEN NULL;
    END;
  END LOOP;
  RETURN emptied;
END
$$;
REVOKE ALL ON FUNCTION prune_usage_records(interval) FROM PUBLIC;

-- Deletes at most 5,000 totals that are older than `keep`, at least 32 days. Returns their number.
CREATE FUNCTION prune_usage_totals(keep interval) RETURNS bigint
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM usage_totals WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM usage_totals WHERE hour < now() - greatest(keep, interval '32 days') LIMIT 5000))
    RETURNING 1
  ) SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION prune_usage_totals(interval) FROM PUBLIC;
