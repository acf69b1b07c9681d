-- Limits of requests and of LLM tokens, which travel in the token: only what is set, as whole numbers from 1 to 2^32 - 1.
ALTER TABLE tiers ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CONSTRAINT tiers_limits_check CHECK (
  jsonb_typeof(limits) = 'object'
  AND limits - ARRAY['requests_per_minute', 'requests_per_day', 'tokens_per_minute', 'tokens_per_day'] = '{}'
  AND NOT jsonb_path_exists(limits, 'strict $.* ? (@.type() != "number" || @ < 1 || @ > 4294967295 || @ != @.floor())')
);
ALTER TABLE tenants ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CONSTRAINT tenants_limits_check CHECK (
  jsonb_typeof(limits) = 'object'
  AND limits - ARRAY['requests_per_minute', 'requests_per_day', 'tokens_per_minute', 'tokens_per_day'] = '{}'
  AND NOT jsonb_path_exists(limits, 'strict $.* ? (@.type() != "number" || @ < 1 || @ > 4294967295 || @ != @.floor())')
);
ALTER TABLE api_keys ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CONSTRAINT api_keys_limits_check CHECK (
  jsonb_typeof(limits) = 'object'
  AND limits - ARRAY['requests_per_minute', 'requests_per_day', 'tokens_per_minute', 'tokens_per_day'] = '{}'
  AND NOT jsonb_path_exists(limits, 'strict $.* ? (@.type() != "number" || @ < 1 || @ > 4294967295 || @ != @.floor())')
);
