-- Reads all secrets, while others write them: no more than this may be in its transaction.
ALTER TABLE api_key_secrets
  VALIDATE CONSTRAINT api_key_secrets_client_id_check,
  VALIDATE CONSTRAINT api_key_secrets_scheme_check,
  VALIDATE CONSTRAINT api_key_secrets_one_kind;
