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
  { name: 'debug_parallel_query', values: ['on', 'regress'], since: 16 },
  { name: 'debug_print_plan', values: ['on'] },
  { name: 'trace_notify', values: ['on'] },
  { name: 'client_connection_check_interval', values: ['1ms'] },
  { name: 'tcp_user_timeout', values: ['1ms'] },
  { name: 'enable_sort', values: ['off'] },
  { name: 'enable_hashagg', values: ['off'] },
  { name: 'enable_mergejoin', values: ['off'] },
  { name: 'constraint_exclusion', values: ['on'] },
  { name: 'stats_fetch_consistency', values: ['snapshot'] },
  { name: 'default_table_access_method', values: ['nowhere'] },
  { name: 'default_text_search_config', values: ['pg_catalog.german'] },
  { name: 'createrole_self_grant', values: ['set, inherit'], since: 16 },
  { name: 'transaction_read_only', values: ['on'] },
  { name: 'geqo_threshold', values: ['2'] },
  { name: 'synchronize_seqscans', values: ['off'] },
  { name: 'role', values: ['mintmark_app'] },
  { name: 'max_stack_depth', values: ['100kB'], superuser: true },
  { name: 'temp_file_limit', values: ['0'], superuser: true },
  { name: 'commit_delay', values: ['100000'], superuser: true },
  { name: 'commit_siblings', values: ['0'] },
  { name: 'track_activities', values: ['off'], superuser: true },
  { name: 'lc_messages', values: ['C.utf8'], superuser: true },
  { name: 'allow_system_table_mods', values: ['on'], superuser: true },
  { name: 'zero_damaged_pages', values: ['on'], superuser: true },
  { name: 'wal_consistency_checking', values: ['all'], superuser: true },
  { name: 'log_error_verbosity', values: ['verbose'], superuser: true },
  { name: 'deadlock_timeout', values: ['1ms'], superuser: true },
  { name: 'plpgsql.variable_conflict', values: ['use_variable', 'use_column'], superuser: true },
  { name: 'log_statement', values: ['all'], superuser: true },
  { name: 'log_min_duration_statement', values: ['0'], superuser: true },
  { name: 'event_triggers', values: ['off'], since: 17, superuser: true },
]

/** Refused by name, with the cure. */
export const REFUSED_SETTINGS: readonly { name: string; value: string; cure: RegExp }[] = [
  // Triggers and foreign keys would not run, and the role may not set it back.
  { name: 'session_replication_role', value: 'replica', cure: /session_replication_role.*RESET/ },
  // Postgres opens no session.
  {
    name: 'local_preload_libraries',
    value: 'nowhere',
    cure: /nowhere.*local_preload_libraries.*is not installed: RESET/,
  },
  {
    name: 'session_preload_libraries',
    value: 'nowhere',
    cure: /nowhere.*session_preload_libraries.*is not installed: RESET/,
  },
]

/** Why no other setting is tried. Every setting of a server that a role or a database may have is here or above. */
export const NOT_TRIED: readonly { reason: string; settings: RegExp }[] = [
  {
    reason:
      'changes plans: every list has an order, and the switches that change the order of rows most are tried',
    settings:
      /^(enable_|geqo(?!_threshold)|cpu_|jit|parallel_|min_parallel_|max_parallel_|from_collapse|join_collapse|seq_page|random_page|effective_|cursor_tuple|recursive_worktable|default_statistics|force_parallel_mode$)/,
  },
  {
    reason: 'changes how memory and disks are used',
    settings:
      /^(maintenance_|hash_mem_|logical_decoding_work_mem|io_combine|backend_flush|gin_pending_list|file_copy_method|wal_(compression|init_zero|recycle|skip_threshold))/,
  },
  {
    reason: 'changes what the log, statistics and developers see',
    settings:
      /^(log_|debug_|trace_|track_|compute_query_id|backtrace_functions|update_process_title|md5_password_warnings|plpgsql\.(check_asserts|print_strict_params))/,
  },
  { reason: 'concerns VACUUM, which runs in no transaction of Mintmark', settings: /^vacuum_/ },
  { reason: 'concerns connections of TCP and of replication', settings: /^(tcp_keepalives_|wal_sender_)/ },
  {
    reason: 'Mintmark has no large objects, COPY of files, collations or passwords of its own there',
    settings:
      /^(lo_compat_privileges|allow_in_place_tablespaces|icu_validation_level|scram_iterations|ssl_renegotiation_limit)$/,
  },
  {
    reason: 'a superuser would break the server for everybody: no library, damaged pages',
    settings: /^(dynamic_library_path|extension_control_path|ignore_checksum_failure|jit_provider)$/,
  },
  { reason: 'is of an extension, and Mintmark needs none', settings: /^(?!plpgsql\.)\w+\./ },
  {
    reason: 'ALTER ROLE and ALTER DATABASE refuse it',
    settings: /^(post_auth_delay|ignore_system_indexes|transaction_isolation|transaction_deferrable)$/,
  },
]

/**
 * One value for each, to be given together: the first is the most hostile. Timeouts of a busy machine are left out, and
 * the role, which the owner of the database would have too.
 */
export const ALL_AT_ONCE: Readonly<Record<string, string>> = Object.fromEntries(
  HOSTILE_SETTINGS.filter(({ name, since = 0, superuser }) => {
    const isLeftOut = ['statement_timeout', 'client_min_messages', 'role'].includes(name)
    return since === 0 && !superuser && !isLeftOut
  }).map(({ name, values: [value = ''] }) => [name, value]),
)
