-- A secret may be imported from another system as a hash. It has no digest: it is looked up by the client_id of that
-- system, which is a separate namespace, and compared with the hash.
-- NOT VALID, so that no row is read while the table is locked. 0008 validates it.
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
-- Has few rows, so it is created quickly.
CREATE UNIQUE INDEX api_key_secrets_client_id ON api_key_secrets (client_id) WHERE client_id IS NOT NULL;
