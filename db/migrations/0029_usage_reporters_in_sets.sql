-- Usage reporters may belong to a set of "mintmark apply": docs/decisions/0028-sets-of-objects.md

ALTER TABLE set_objects
  DROP CONSTRAINT set_objects_kind_check,
  ADD CONSTRAINT set_objects_kind_check
    CHECK (kind IN ('tier', 'model', 'adapter', 'tenant', 'key', 'identity-provider', 'usage-reporter')),
  ADD COLUMN reporter_id text UNIQUE REFERENCES usage_reporters ON DELETE CASCADE;

-- The expression of a generated column cannot be changed. The table is as short as the files of its sets.
ALTER TABLE set_objects
  DROP CONSTRAINT set_objects_one_object,
  DROP COLUMN object_id,
  ADD COLUMN object_id text NOT NULL
    GENERATED ALWAYS AS (coalesce(tier, model, tenant_id, key_id, provider_id, reporter_id)) STORED,
  ADD CONSTRAINT set_objects_one_object CHECK (num_nonnulls(tier, model, tenant_id, key_id, provider_id, reporter_id) = 1);
