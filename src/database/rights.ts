import { sql } from 'kysely'
import type { Database } from './database.ts'
import type { Schema } from './schema.ts'

const EVERY_ROW = 'SELECT, INSERT, UPDATE, DELETE'
const NO_DELETE = 'SELECT, INSERT, UPDATE'
const APPEND_ONLY = 'SELECT, INSERT'

/** What db/roles.sql grants and the service needs. */
const NEEDED: Readonly<Record<Exclude<keyof Schema, 'maker_fill'>, string>> = {
  installation: NO_DELETE,
  signing_keys: NO_DELETE,
  key_usage: NO_DELETE,
  admin_tokens: NO_DELETE,
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
  deleted_tenants: APPEND_ONLY,
  change_feed: APPEND_ONLY,
  audit_events: APPEND_ONLY,
  audit_checkpoints: APPEND_ONLY,
  change_counter: 'SELECT, UPDATE',
}

/** What a migration, a restore or an administrator took from the service, with the cure; undefined: nothing. */
export async function missingRights(database: Database): Promise<string | undefined> {
  const wanted = Object.entries(NEEDED).flatMap(([table, rights]) =>
    rights.split(', ').map(right => ({ table, right })),
  )
  const [tables, rights] = [wanted.map(({ table }) => table), wanted.map(({ right }) => right)]
  const { rows } = await database.run(db =>
    sql<{ table: string; right: string; exists: boolean }>`
      SELECT "table", "right", to_regclass("table") IS NOT NULL AS exists
      FROM unnest(${tables}::text[], ${rights}::text[]) AS wanted ("table", "right")
      WHERE has_table_privilege(to_regclass("table"), "right") IS NOT TRUE`.execute(db),
  )
  const gone = new Set(rows.filter(({ exists }) => !exists).map(({ table }) => table))
  const refused = rows.filter(({ exists }) => exists).map(({ table, right }) => `${right} on ${table}`)
  if (gone.size > 0)
    return `The database lacks the tables ${[...gone].join(', ')}, or the role may not use their schema: run "npm run migrate" with the same MINTMARK_DATABASE_SCHEMA, or restore them from a backup.`
  if (refused.length > 0)
    return `The role of DATABASE_URL may not ${refused.join(', ')}: GRANT mintmark_app TO it, or run "npm run migrate" again, which grants mintmark_app its rights.`
  return undefined
}
