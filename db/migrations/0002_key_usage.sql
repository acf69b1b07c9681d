-- Daily counts of a key: the number of exchanges ('exchanged'), and of rejections by reason. Written in batches by every
-- replica, a few seconds late.
CREATE TABLE key_usage (
  key_id  text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
  day     date NOT NULL,   -- UTC
  outcome text NOT NULL CHECK (outcome ~ '^[a-z_]{1,40}$'),
  count   bigint NOT NULL CHECK (count > 0),
  PRIMARY KEY (key_id, day, outcome)
);
CREATE INDEX key_usage_day ON key_usage (day);

-- The application cannot delete counts, except by this function: those older than a hundred days.
CREATE FUNCTION prune_key_usage(older_than interval) RETURNS bigint
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM key_usage WHERE day < (now() - greatest(older_than, interval '100 days'))::date
    RETURNING 1
  ) SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION prune_key_usage(interval) FROM PUBLIC;
