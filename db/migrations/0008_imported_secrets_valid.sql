-- Reads all secrets while other transactions write: nothing else may be in this transaction.
ALTER TABLE api_key_secrets
  VALIDATE CONSTRAINT api_key_secrets_client_id_check,
  VALIDATE CONSTRAINT api_key_secrets_scheme_check,
  VALIDATE CONSTRAINT api_key_secrets_one_kind;
