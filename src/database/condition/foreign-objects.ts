import { sql } from 'kysely'
import type { Database } from '../database.ts'
import { TABLES } from './rights.ts'

/** The functions of our triggers. Below, the triggers by table. */
const TRIGGER_FUNCTIONS = [
  'refuse_audit_change',
  'require_seal',
  'keep_seal',
  'forget_usage_rollups',
  'fill_labels_md5',
]
const TRIGGERS = [
  'audit_events.append_only',
  'audit_events.append_only_truncate',
  'audit_checkpoints.append_only',
  'audit_checkpoints.append_only_truncate',
  'signing_keys.require_seal',
  'signing_keys.require_seal_update',
  'signing_keys.keep_seal',
  'api_key_secrets.require_seal',
  'api_key_secrets.require_seal_update',
  'api_key_secrets.keep_seal',
  'usage_rollups.fill_labels_md5',
  'usage_totals.usage_totals_inserted',
  'usage_totals.usage_totals_updated',
  'usage_totals.usage_totals_deleted',
]

type Kind = 'rls' | 'trigger' | 'off' | 'lacking' | 'rule' | 'child'

/** `table` and `name` are SQL identifiers. */
interface Found {
  kind: Kind
  table: string
  name: string
}

const SENTENCES: Readonly<Record<Kind, (found: Found) => string>> = {
  rls: ({ table }) =>
    `The table ${table} has row-level security, which hides rows: ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY.`,
  trigger: ({ table, name }) =>
    `The table ${table} has the trigger ${name}, which may change or discard what is written: DROP TRIGGER ${name} ON ${table}. One that runs AFTER the change may stay.`,
  off: ({ table }) =>
    `Triggers of the table ${table} are disabled, as an interrupted "pg_restore --disable-triggers" leaves them: ALTER TABLE ${table} ENABLE TRIGGER ALL.`,
  lacking: ({ table, name }) =>
    `The table ${table} lacks the trigger ${name}: create it as in db/migrations, or restore the database from a backup.`,
  rule: ({ table, name }) =>
    `The table ${table} has the rule ${name}, which replaces what is written: DROP RULE ${name} ON ${table}.`,
  child: ({ table, name }) =>
    `The table ${name} inherits from ${table}, so its rows are read as those of ${table}: ALTER TABLE ${name} NO INHERIT ${table}.`,
}

/**
 * What others put between Mintmark and its rows, or took from them: statements succeed, and mean something else. With the
 * cure; undefined: nothing. Triggers that run after a change are left alone: it is stored by then.
 */
export async function foreignObjects(database: Database): Promise<string | undefined> {
  const { rows } = await database.run(db => found().execute(db))
  const [first] = rows
  if (!first) return undefined
  const more = rows.length > 1 ? ` And ${rows.length - 1} more.` : ''
  return `${SENTENCES[first.kind](first)}${more}`
}

/** Row-level security counts where it applies to this role. */
const found = () => sql<Found>`
  WITH ours AS (
    SELECT name, to_regclass(name) AS oid FROM unnest(${TABLES}::text[]) AS wanted (name) WHERE to_regclass(name) IS NOT NULL
  ), triggers AS (
    SELECT ours.name AS table, tgname, tgtype, tgisinternal, tgenabled,
      proname::text = ANY(${TRIGGER_FUNCTIONS}::text[]) AND pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AS own
    FROM ours JOIN pg_trigger ON tgrelid = ours.oid JOIN pg_proc ON pg_proc.oid = tgfoid
  )
  SELECT 'rls' AS kind, name AS table, name FROM ours WHERE row_security_active(ours.oid)
  UNION ALL
  SELECT 'trigger', "table", quote_ident(tgname) FROM triggers
  WHERE NOT tgisinternal AND NOT own AND tgtype & 3 = 3 AND tgenabled IN ('O', 'A')
  UNION ALL
  SELECT DISTINCT 'off', "table", '' FROM triggers WHERE (tgisinternal OR own) AND tgenabled IN ('D', 'R')
  UNION ALL
  SELECT 'lacking', split_part(each, '.', 1), split_part(each, '.', 2) FROM unnest(${TRIGGERS}::text[]) AS each
  WHERE NOT EXISTS (SELECT FROM triggers WHERE own AND "table" || '.' || tgname = each)
  UNION ALL
  SELECT 'rule', ours.name, quote_ident(rulename) FROM ours JOIN pg_rewrite ON ev_class = ours.oid
  UNION ALL
  SELECT 'child', ours.name, inhrelid::regclass::text FROM ours JOIN pg_inherits ON inhparent = ours.oid
    JOIN pg_class ON pg_class.oid = inhrelid WHERE NOT relispartition
  LIMIT 100`
