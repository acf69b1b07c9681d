const PRIVATE_CA =
  'the certificate of the server is not from an authority that Node knows: name the file of its authority in the database URL, &sslrootcert=/path/ca.pem (docs/guides/postgres.md)'

const STANDBY = 'the server is a standby, which cannot be changed: the database URL must lead to the primary'
const OPTIONS =
  'options= in the database URL, or PGOPTIONS, must have settings of this server, each written as -c%20name%3Dvalue, or be removed'

/** What to do about a configuration that Postgres rejects. Keys are SQLSTATEs, and the codes of Node and Mintmark. */
const CURES: Record<string, string> = {
  '28P01': 'check the user and the password in the database URL, or what DATABASE_PASSWORD_COMMAND prints',
  '28000':
    'the database URL must name a user that may log in (ALTER ROLE … LOGIN) and connect from this host (pg_hba.conf); where the server requires TLS, add sslmode=verify-full to the URL; where it requires a client certificate for this user, add sslcert and sslkey',
  '3D000': 'create the database that the URL names, then run "mintmark migrate"',
  '3F000': 'MINTMARK_DATABASE_SCHEMA must be the schema that "mintmark migrate" filled',
  '42501':
    'the role lacks a right: GRANT mintmark_app TO it, or run "mintmark migrate" again, which grants mintmark_app its rights (db/README.md); a table with row-level security: ALTER TABLE … DISABLE ROW LEVEL SECURITY',
  '42P01':
    'a table is missing: run "mintmark migrate", with the same MINTMARK_DATABASE_SCHEMA, or restore it from a backup',
  '55P03':
    'another session holds a lock on a table of Mintmark, as VACUUM FULL and ALTER TABLE do (pg_locks): wait, or end it with pg_terminate_backend',
  '57014': 'a statement took too long',
  '55000':
    'where a publication has the table, it needs a replica identity: ALTER TABLE … REPLICA IDENTITY DEFAULT',
  '42P10':
    'where a publication has the table, generated columns must be published (publish_generated_columns = stored) or ALTER TABLE … REPLICA IDENTITY DEFAULT; where a unique constraint is missing, restore the database from a backup',
  '23502':
    'Mintmark writes every column of its own: a column that was added needs a default or must be nullable, and a default that was dropped must be restored',
  P0001: 'Mintmark raises no error of its own there: change or drop the trigger of this database that does',
  '53100': 'the disk of the database is full: free or add space',
  '53200': 'the server has no memory for more locks or work: raise max_locks_per_transaction or its memory',
  '53300':
    'raise max_connections of the server or the CONNECTION LIMIT of the role or database, or lower MINTMARK_DATABASE_MAX_CONNECTIONS',
  '53400': 'raise the limit that is named: ALTER ROLE, ALTER DATABASE or ALTER SYSTEM',
  '25006': STANDBY,
  STANDBY,
  SESSION_42501:
    'as an administrator, GRANT CONNECT ON DATABASE … TO the user in the database URL; a setting in options= must be one that this user may set',
  SESSION_42704: OPTIONS,
  SESSION_22023: OPTIONS,
  SESSION_42601: OPTIONS,
  SESSION_55000: 'ALTER DATABASE … ALLOW_CONNECTIONS true',
  SESSION_58P01:
    'a library that local_preload_libraries or session_preload_libraries names is not installed: RESET this setting of the role, the database and the server',
  ECONNREFUSED: 'no server listens at the address in the database URL',
  ENOTFOUND: 'the host name in the database URL is unknown',
  ENOENT: 'the socket or the file that the database URL names does not exist',
  EISDIR: 'the database URL names a folder where it must name a file',
  EACCES: 'this process may not use the socket or read the file that the database URL names',
  SELF_SIGNED_CERT_IN_CHAIN: PRIVATE_CA,
  DEPTH_ZERO_SELF_SIGNED_CERT: PRIVATE_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: PRIVATE_CA,
  UNABLE_TO_GET_ISSUER_CERT: PRIVATE_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: PRIVATE_CA,
  ERR_TLS_CERT_ALTNAME_INVALID:
    'the certificate of the server is for another name: use the name that it was issued for in the database URL',
  CERT_SIGNATURE_FAILURE:
    'the certificate of the server is from an authority with the same name and another key: put its current certificate into the file in sslrootcert',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA:
    'the server does not know the authority of the client certificate: use one in sslcert that is from an authority in its ssl_ca_file',
  ERR_OSSL_X509_KEY_VALUES_MISMATCH:
    'sslkey must be the file with the private key of the certificate in sslcert',
  CERT_HAS_EXPIRED: 'renew the certificate of the server',
  PASSWORD_COMMAND:
    'run DATABASE_PASSWORD_COMMAND as the user and with the environment of this process: it must print the password within 5 s, and nothing else; its errors are not logged, because they may show it',
  COMMIT_UNANSWERED:
    'changes may be stored, although they are answered with 503. Where synchronous_standby_names names standbys, as many as it needs must be connected (pg_stat_replication); otherwise look at the disk of the server',
  SETTING_REFUSED:
    'ALTER ROLE or ALTER DATABASE … RESET this setting: with it, Postgres does not run the triggers and foreign keys of Mintmark, and only a superuser may set it back',
}

/** Messages of pg, which have no code, and of PgBouncer, which all have the same. */
const MESSAGES: readonly [RegExp, string][] = [
  [
    /does not support SSL connections/,
    'set up TLS at the server, or use sslmode=disable in the URL where the network is private',
  ],
  [
    /sslnegotiation/i,
    'sslnegotiation in the database URL, or PGSSLNEGOTIATION, must be postgres, or direct with TLS',
  ],
  [
    /password must be a (non-empty )?string/,
    'the server asks for a password, and the database URL has none: add it, or set DATABASE_PASSWORD_COMMAND',
  ],
  [
    /statement pooling/,
    'set pool_mode = transaction in the pooler: a change is several statements that succeed or fail together',
  ],
  [
    /max_client_conn|max_db_client|max_user_client/,
    'raise that limit in the pooler, or lower MINTMARK_DATABASE_MAX_CONNECTIONS',
  ],
  [/PQexec disallowed/, 'set disable_pqexec = 0 in the pooler'],
  [/query_wait_timeout/, 'raise default_pool_size or query_wait_timeout in the pooler'],
  [/query_timeout/, 'raise query_timeout in the pooler, or look for what the server waits for'],
  [
    /Query read timeout/,
    'something took the connection and did not answer a statement in time: with a pooler, use pool_mode = transaction or raise default_pool_size; otherwise look at the load and the disk of the server',
  ],
  [
    /timeout e(xceeded|xpired)|due to connection timeout/,
    'the server did not answer in time: check the address in the database URL, and the firewall',
  ],
]

/**
 * Why the database cannot be used, for an operator: its own message, and what to do about it. `undefined` when the
 * error did not come from the database.
 */
export function databaseFault(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, message } = cause as Error & { code?: unknown }
    const known = typeof code === 'string'
    const cure = (known && CURES[code]) || MESSAGES.find(([pattern]) => pattern.test(message))?.[1]
    if (!known && cure === undefined) continue
    return `The database cannot be used: ${message || code}${cure ? ` (${cure})` : ''}.`
  }
  return undefined
}
