import { sql } from 'kysely'
import type { Database } from '../database.ts'
import type { Schema } from '../schema.ts'

const EVERY_ROW = 'SELECT, INSERT, UPDATE, DELETE'
const NO_DELETE = 'SELECT, INSERT, UPDATE'
const APPEND_ONLY = 'SELECT, INSERT'

/** What db/roles.sql grants and the service needs. */
const NEEDED: Readonly<Record<Exclude<keyof Schema, 'maker_fill'> | 'mintmark_migration', string>> = {
  mintmark_migration: 'SELECT',
  sealed_since: 'SELECT',
  installation: NO_DELETE,
  signing_keys: NO_DELETE,
  key_usage: NO_DELETE,
  admin_tokens: NO_DELETE,
  restores: NO_DELETE,
  tombstones: NO_DELETE,
  usage_reporters: NO_DELETE,
  usage_reporter_secrets: NO_DELETE,
  usage_totals: NO_DELETE,
  usage_records: 'SELECT, INSERT, DELETE',
  usage_rollups: 'SELECT, INSERT, DELETE',
  usage_rolled: 'SELECT, INSERT, DELETE',
  usage_ledger: 'SELECT, UPDATE',
  tiers: EVERY_ROW,
  models: EVERY_ROW,
  tenants: EVERY_ROW,
  tenant_tiers: EVERY_ROW,
  tenant_grants: EVERY_ROW,
  api_keys: EVERY_ROW,
  key_grants: EVERY_ROW,
  api_key_secrets: EVERY_ROW,
  secret_proofs: EVERY_ROW,
  replicas: EVERY_ROW,
  idempotency_keys: EVERY_ROW,
  identity_providers: EVERY_ROW,
  key_credentials: EVERY_ROW,
  token_revocations: EVERY_ROW,
  set_objects: EVERY_ROW,
  pending_secrets: EVERY_ROW,
  used_assertions: EVERY_ROW,
  deleted_tenants: APPEND_ONLY,
  deleted_identities: APPEND_ONLY,
  change_feed: APPEND_ONLY,
  audit_events: APPEND_ONLY,
  audit_checkpoints: APPEND_ONLY,
  change_counter: 'SELECT, UPDATE',
}

/** The tables that the service uses. */
export const TABLES: readonly string[] = Object.keys(NEEDED)

const FUNCTIONS = [
  'prune_change_feed(interval)',
  'prune_key_usage(interval)',
  'prune_usage_records(interval)',
  'prune_usage_totals(interval)',
]

/** What a migration, a restore or an administrator took from the service, with the cure; undefined: nothing. */
export async function missingRights(database: Database): Promise<string | undefined> {
  const wanted = Object.entries(NEEDED).flatMap(([table, rights]) =>
    rights.split(', ').map(right => ({ table, right })),
  )
  const [tables, rights] = [wanted.map(({ table }) => table), wanted.map(({ right }) => right)]
  const { rows } = await database.run(db =>
    sql<{ name: string; right: string; exists: boolean }>`
      SELECT name, "right", to_regclass(name) IS NOT NULL AS exists
      FROM unnest(${tables}::text[], ${rights}::text[]) AS wanted (name, "right")
      WHERE has_table_privilege(to_regclass(name), "right") IS NOT TRUE
      UNION ALL
      SELECT name, 'EXECUTE', to_regprocedure(name) IS NOT NULL FROM unnest(${FUNCTIONS}::text[]) AS wanted (name)
      WHERE has_function_privilege(to_regprocedure(name), 'EXECUTE') IS NOT TRUE`.execute(db),
  )
  const gone = new Set(rows.filter(({ exists }) => !exists).map(({ name }) => name))
  const refused = rows.filter(({ exists }) => exists).map(({ name, right }) => `${right} on ${name}`)
  if (gone.size > 0)
    return `The database lacks ${[...gone].join(', ')}, or the role may not use the schema: run "mintmark migrate" with the same MINTMARK_DATABASE_SCHEMA, or restore them from a backup.`
  if (refused.length > 0)
    return `The role of DATABASE_URL may not ${refused.join(', ')}: GRANT mintmark_app TO it, or run "mintmark migrate" again, which grants mintmark_app its rights.`
  return undefined
}
