-- An imported SHA-256 secret may be presented without its client_id (scheme 'sha256-lookup'): replicas find it in memory, by a
-- hash of its hash. It always has an end. The older rows satisfy both constraints, so neither is validated: no row is read
-- while the table is locked.
ALTER TABLE api_key_secrets
  ADD CONSTRAINT api_key_secrets_import_scheme CHECK (scheme IN ('bcrypt', 'sha256', 'sha256-lookup')) NOT VALID,
  ADD CONSTRAINT api_key_secrets_lookup_ends CHECK (scheme <> 'sha256-lookup' OR ends_at IS NOT NULL) NOT VALID,
  DROP CONSTRAINT api_key_secrets_scheme_check;
