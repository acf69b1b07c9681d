-- Lists of keys that stay quick with a million of them (docs/decisions/0013-lists-by-spans.md); the indexes are in
-- db/indexes.sql.

-- The UTC day of the last use of any secret, written with the first use of a day. A row that was held then has an older
-- day, so it only says "not after this day" of what was used before: api_key_secrets tells exactly.
ALTER TABLE api_keys ADD COLUMN last_used_on date NOT NULL DEFAULT '-infinity';

-- What a list filtered by a label looks for among the keys of one span: that it is there, and that it has this value.
CREATE FUNCTION key_label_marks(labels jsonb, span bigint) RETURNS bigint[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(mark), '{}')
  FROM jsonb_each_text(labels) AS label (name, value),
    unnest(ARRAY[hashtextextended(name, span), hashtextextended(name || '=' || value, span)]) AS mark
$$;
