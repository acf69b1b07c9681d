-- Columns for fast lists of a million keys (docs/decisions/0013-filtered-lists-scan-fixed-size-ranges.md); the indexes are in db/indexes.sql.

-- The UTC day of the last use of any secret, written with the first use of a day. It may be too early when the row was
-- locked at that moment; api_key_secrets has the exact time.
ALTER TABLE api_keys ADD COLUMN last_used_on date NOT NULL DEFAULT '-infinity';

-- The search terms of a list filtered by a label, within one span: the label exists, and it has this value.
CREATE FUNCTION key_label_marks(labels jsonb, span bigint) RETURNS bigint[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(mark), '{}')
  FROM jsonb_each_text(labels) AS label (name, value),
    unnest(ARRAY[hashtextextended(name, span), hashtextextended(name || '=' || value, span)]) AS mark
$$;
