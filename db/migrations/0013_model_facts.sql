-- Names and facts of models as engines have them.

-- vLLM serves a local model under its path. Tables are small, so the check of the existing rows is short.
ALTER TABLE models DROP CONSTRAINT models_name_check;
ALTER TABLE models ADD CONSTRAINT models_name_check CHECK (
  name ~ '^(\.{0,2}/)?[A-Za-z0-9][-A-Za-z0-9._:/@]{0,95}$' AND length(name) <= 96 AND name <> 'none'
  AND (kind = 'model' OR name ~ '^[A-Za-z0-9]')
);

-- Tokens of a prompt and its completion together. null: unknown, and of an adapter: as its base model.
ALTER TABLE models ADD COLUMN max_model_len integer CHECK (max_model_len > 0);
