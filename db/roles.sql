-- The two roles. The owner role runs "npm run migrate" and owns the tables; the service connects as a login role that is
-- a member of mintmark_app, which can read and write rows, and nothing else: no DDL, append-only on the audit trail and
-- the change feed. Applied after every migration; idempotent.
--
--   CREATE ROLE mintmark LOGIN PASSWORD '…' IN ROLE mintmark_app;   -- once, by an administrator, who chooses the name and password

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mintmark_app') THEN
    CREATE ROLE mintmark_app NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;   -- another migration created it at the same moment
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'this role may not create roles: have an administrator run "CREATE ROLE mintmark_app NOLOGIN" once, then migrate again';
END
$$;

-- In the schema of the tables, which "npm run migrate" searches first.
DO $$
BEGIN
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO mintmark_app', current_schema());
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM mintmark_app', current_schema());
  EXECUTE format('ALTER FUNCTION prune_change_feed(interval) SET search_path = pg_catalog, %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION prune_key_usage(interval) SET search_path = pg_catalog, %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION prune_usage_records(interval) SET search_path = pg_catalog, %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION prune_usage_totals(interval) SET search_path = pg_catalog, %I, pg_temp', current_schema());
END
$$;

GRANT SELECT ON mintmark_migration, sealed_since TO mintmark_app;
GRANT SELECT, INSERT, UPDATE ON installation, signing_keys, key_usage, admin_tokens, restores, tombstones TO mintmark_app;
GRANT SELECT, INSERT, UPDATE, DELETE
  ON tiers, models, tenants, tenant_tiers, tenant_grants, api_keys, key_grants, api_key_secrets, secret_proofs, replicas,
  idempotency_keys, identity_providers, key_credentials, token_revocations, set_objects, pending_secrets, used_assertions TO mintmark_app;
GRANT SELECT, INSERT ON deleted_tenants, deleted_identities, change_feed, audit_events, audit_checkpoints TO mintmark_app;
GRANT SELECT, UPDATE ON change_counter TO mintmark_app;
GRANT EXECUTE ON FUNCTION prune_change_feed(interval) TO mintmark_app;
GRANT EXECUTE ON FUNCTION prune_key_usage(interval) TO mintmark_app;
GRANT SELECT, INSERT, UPDATE ON usage_reporters, usage_reporter_secrets, usage_totals TO mintmark_app;
GRANT SELECT, INSERT, DELETE ON usage_records, usage_rollups, usage_rolled TO mintmark_app;
GRANT SELECT, UPDATE ON usage_ledger TO mintmark_app;
GRANT EXECUTE ON FUNCTION prune_usage_records(interval), prune_usage_totals(interval) TO mintmark_app;
