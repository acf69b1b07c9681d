/**
 * Settings that ALTER ROLE and ALTER DATABASE may give, with values that change the meaning, the text, the durability or
 * the time of statements, among them those of managed servers. `since`: the first version of Postgres that has it.
 */
export interface HostileSetting {
  name: string
  values: readonly string[]
  since?: number
  /** Only a superuser may give it, and only a superuser may undo it. */
  superuser?: true
}

/** Those for which only one value fits, so that a run cannot have all at once. */
export const HOSTILE_SETTINGS: readonly HostileSetting[] = [
  { name: 'default_transaction_isolation', values: ['serializable', 'repeatable read', 'read uncommitted'] },
  { name: 'default_transaction_read_only', values: ['on'] },
  { name: 'default_transaction_deferrable', values: ['on'] },
  { name: 'search_path', values: ['nowhere', '', 'pg_temp, nowhere'] },
  { name: 'DateStyle', values: ['SQL, DMY', 'German', 'Postgres, DMY', 'ISO, YMD'] },
  { name: 'IntervalStyle', values: ['iso_8601', 'sql_standard', 'postgres_verbose'] },
  { name: 'TimeZone', values: ['Pacific/Kiritimati', 'America/St_Johns', '-03:17'] },
  { name: 'timezone_abbreviations', values: ['Australia', 'India'] },
  { name: 'client_encoding', values: ['LATIN1', 'SJIS', 'SQL_ASCII'] },
  { name: 'extra_float_digits', values: ['-15', '3'] },
  { name: 'bytea_output', values: ['escape'] },
  { name: 'array_nulls', values: ['off'] },
  { name: 'standard_conforming_strings', values: ['off'] },
  { name: 'backslash_quote', values: ['off', 'on'] },
  { name: 'escape_string_warning', values: ['off'] },
  { name: 'transform_null_equals', values: ['on'] },
  { name: 'quote_all_identifiers', values: ['on'] },
  { name: 'xmloption', values: ['document'] },
  { name: 'xmlbinary', values: ['hex'] },
  { name: 'row_security', values: ['off'] },
  { name: 'exit_on_error', values: ['on'] },
  { name: 'check_function_bodies', values: ['off'] },
  { name: 'gin_fuzzy_search_limit', values: ['1'] },
  { name: 'synchronous_commit', values: ['off', 'local', 'remote_apply'] },
  { name: 'statement_timeout', values: ['200ms', '5s'] },
  { name: 'lock_timeout', values: ['1ms', '5s'] },
  { name: 'idle_in_transaction_session_timeout', values: ['1ms', '1h'] },
  // Not shorter: on a busy machine no session would live until its first statement.
  { name: 'idle_session_timeout', values: ['200ms', '1s'] },
  { name: 'transaction_timeout', values: ['200ms'], since: 17 },
  { name: 'restrict_nonsystem_relation_kind', values: ['view, foreign-table'], since: 17 },
  { name: 'client_min_messages', values: ['debug5', 'error'] },
  { name: 'plan_cache_mode', values: ['force_generic_plan', 'force_custom_plan'] },
  { name: 'enable_seqscan', values: ['off'] },
  { name: 'enable_indexscan', values: ['off'] },
  { name: 'enable_bitmapscan', values: ['off'] },
  { name: 'enable_hashjoin', values: ['off'] },
  { name: 'enable_nestloop', values: ['off'] },
  { name: 'jit_above_cost', values: ['0'] },
  { name: 'work_mem', values: ['64kB', '2GB'] },
  { name: 'temp_buffers', values: ['800kB'] },
  { name: 'default_tablespace', values: ['pg_default', 'nowhere'] },
  { name: 'temp_tablespaces', values: ['nowhere'] },
  { name: 'default_toast_compression', values: ['pglz'] },
  { name: 'password_encryption', values: ['md5'] },
  { name: 'lc_monetary', values: ['C.utf8'] },
  { name: 'lc_numeric', values: ['C.utf8'] },
  { name: 'lc_time', values: ['C.utf8'] },
  { name: 'plpgsql.extra_errors', values: ['all'] },
  { name: 'plpgsql.extra_warnings', values: ['all'] },
  { name: 'application_name', values: ['other'] },
  { name: 'deadlock_timeout', values: ['1ms'], superuser: true },
  { name: 'plpgsql.variable_conflict', values: ['use_variable', 'use_column'], superuser: true },
  { name: 'log_statement', values: ['all'], superuser: true },
  { name: 'log_min_duration_statement', values: ['0'], superuser: true },
  { name: 'event_triggers', values: ['off'], since: 17, superuser: true },
]

/** Refused by name: triggers and foreign keys would not run, and the role may not set it back. */
export const REFUSED_SETTING = { name: 'session_replication_role', values: ['replica', 'local'] } as const

/** One value for each, to be given together: the first is the most hostile. Timeouts of a busy machine are left out. */
export const ALL_AT_ONCE: Readonly<Record<string, string>> = Object.fromEntries(
  HOSTILE_SETTINGS.filter(({ name, since = 0, superuser }) => {
    const isTime = ['statement_timeout', 'log_min_duration_statement', 'log_statement'].includes(name)
    return since < 17 && !superuser && !isTime && name !== 'client_min_messages'
  }).map(({ name, values: [value = ''] }) => [name, value]),
)
