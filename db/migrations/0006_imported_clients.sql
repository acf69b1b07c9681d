-- A secret may be one that another system gave out and of which only a hash came with it. It has no digest of ours: it
-- is found by the client_id of that system, which is a namespace of its own, and compared with the hash.
-- Not valid yet: no row has to be looked at while nobody may write. 0008 does so.
ALTER TABLE api_key_secrets
  ALTER COLUMN digest DROP NOT NULL,
  ALTER COLUMN pepper_id DROP NOT NULL,
  ADD COLUMN client_id text,
  ADD COLUMN scheme text,
  ADD COLUMN hash text,
  ADD CONSTRAINT api_key_secrets_client_id_check CHECK (client_id ~ '^[!-~]{1,128}$') NOT VALID,
  ADD CONSTRAINT api_key_secrets_scheme_check CHECK (scheme IN ('bcrypt', 'sha256')) NOT VALID,
  ADD CONSTRAINT api_key_secrets_one_kind CHECK (num_nonnulls(digest, pepper_id) = 2 AND num_nonnulls(client_id, scheme, hash) = 0
    OR num_nonnulls(digest, pepper_id) = 0 AND num_nonnulls(client_id, scheme, hash) = 3) NOT VALID;
-- Of few rows, so that it is made in a moment.
CREATE UNIQUE INDEX api_key_secrets_client_id ON api_key_secrets (client_id) WHERE client_id IS NOT NULL;
