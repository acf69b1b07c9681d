/** How long the statements of a transaction may wait and take, as Postgres writes it; '0': without a limit. */
export interface Limits {
  lock: string
  statement: string
  /** Between two statements. */
  idle: string
}

/**
 * Every setting that changes what a statement means, how a value is written, or whether a committed change is durable.
 * `ALTER ROLE`, `ALTER DATABASE` and the server's file may give them any value; here they have one. Left alone: what only
 * changes the plan, the time or the log, and the names of message languages, as errors are distinguished by SQLSTATE.
 */
const MEANING: Readonly<Record<string, string>> = {
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  timezone_abbreviations: 'Default',
  client_encoding: 'UTF8',
  extra_float_digits: '1',
  bytea_output: 'hex',
  array_nulls: 'on',
  standard_conforming_strings: 'on',
  escape_string_warning: 'on',
  backslash_quote: 'safe_encoding',
  transform_null_equals: 'off',
  quote_all_identifiers: 'off',
  xmloption: 'content',
  // A policy is an error: 'on' would hide rows.
  row_security: 'off',
  exit_on_error: 'off',
  // An index scan of labels would find a random part.
  gin_fuzzy_search_limit: '0',
  restrict_nonsystem_relation_kind: '',
  'plpgsql.extra_errors': 'none',
  'plpgsql.extra_warnings': 'none',
  // Anything else switches triggers and foreign keys off. Only a superuser may set it: for others Postgres refuses here.
  session_replication_role: 'origin',
  transaction_timeout: '0',
}

/** What BEGIN says otherwise. */
const SESSION: Readonly<Record<string, string>> = {
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
}

/** It waits for all transactions that are older. */
const UNLIMITED = { lock: '0', statement: '0', idle: '0' }

/** The schema of the tables, as an SQL identifier. */
export const quoted = (schema: string): string => `"${schema.replaceAll('"', '""')}"`

/**
 * Statements, sent as one message, that give a transaction its schema, limits and meaning, whatever its session has. Only
 * what differs is set. A setting that this version of Postgres does not have is left out.
 */
export function localSettings(schema: string, limits: Limits, more: Record<string, string> = {}): string {
  return statements('LOCAL', schema, { ...MEANING, ...timeouts(limits), ...more })
}

/** The same for the session, until `RESET ALL`: CREATE INDEX CONCURRENTLY cannot run in a transaction. */
export function sessionSettings(schema: string): string {
  return statements('SESSION', schema, { ...MEANING, ...timeouts(UNLIMITED), ...SESSION })
}

const timeouts = ({ lock, statement, idle }: Limits) => ({
  lock_timeout: lock,
  statement_timeout: statement,
  idle_in_transaction_session_timeout: idle,
})

function statements(scope: 'LOCAL' | 'SESSION', schema: string, settings: Record<string, string>): string {
  const rows = Object.entries(settings).map(([name, value]) => `(${literal(name)}, ${literal(value)})`)
  // pg_catalog is searched first, and temporary objects last.
  const path = `SET ${scope} search_path = ${quoted(schema)}, pg_temp`
  const values = `VALUES ${rows.join(', ')}, ('synchronous_commit', ${DURABLE})`
  return `${path}; SELECT set_config(name, value, ${scope === 'LOCAL'}) FROM (${values}) AS setting (name, value) WHERE current_setting(name, true) <> value`
}

/** A crash must not undo a revocation that was answered. Values that only concern standbys are the operator's. */
const DURABLE = `CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END`

/** No value has a backslash. */
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
