import { resolve } from 'node:path'
import { hasPassword, PasswordCommand } from '../system/password-command.ts'
import { ChangingSecret, type Secret } from '../system/secret.ts'
import type { Env } from './env.ts'
import { postgresUrl } from './postgres-url.ts'

/** The database, and where the embedded one stores its files. */
export function readDatabase(env: Env) {
  const databaseUrl = env.optional('DATABASE_URL', {
    fallback: 'embedded Postgres',
    description:
      'URL of Postgres 15 to 18 with the application role; unset: an embedded Postgres in the data directory, for development',
    parse: changingUrl,
  })
  const databaseUrlDirect = env.optional('DATABASE_URL_DIRECT', {
    fallback: '`DATABASE_URL`',
    description:
      'URL of Postgres itself if `DATABASE_URL` uses a pooler in transaction mode; for LISTEN, one connection',
    parse: changingUrl,
  })
  const migrateDatabaseUrl =
    env.optional('MIGRATE_DATABASE_URL', {
      fallback: '`DATABASE_URL`',
      description:
        'URL with the owner role, only for `mintmark migrate`, `mintmark seal`, `mintmark audit verify`, `mintmark audit continue` and `mintmark audit prune`',
      parse: postgresUrl,
    }) ?? databaseUrl
  return {
    databaseUrl,
    embedded: databaseUrl === undefined,
    databaseUrlDirect,
    migrateDatabaseUrl,
    databasePassword: readPassword(env, [databaseUrl, databaseUrlDirect, migrateDatabaseUrl]),
    databaseMaxConnections: env.integer('MINTMARK_DATABASE_MAX_CONNECTIONS', {
      default: 10,
      min: 4,
      max: 200,
      description:
        'most database connections of one process: one listens for notifications, two follow changes and look up API keys, and with `MINTMARK_OTLP_HTTP_PORT` or `MINTMARK_OTLP_GRPC_PORT` two more count usage (then at least 6)',
    }),
    databaseSchema: env.text('MINTMARK_DATABASE_SCHEMA', {
      default: 'public',
      description:
        'schema with the tables; `mintmark migrate` creates it where the owner role may. The same for all commands and replicas',
      parse: schemaName,
    }),
    snapshotDir: env.optional('MINTMARK_SNAPSHOT_DIR', {
      fallback: 'no snapshots',
      description:
        'folder on a volume that outlives the process, for sealed snapshots: with one, a replica starts and serves without Postgres for `MINTMARK_STALENESS_SECONDS`; replicas may share it',
      parse: text => resolve(text),
    }),
    dataDir: resolve(
      env.text('MINTMARK_DATA_DIR', { default: '.mintmark', description: 'directory of embedded Postgres' }),
    ),
    keysDir: resolve(
      env.text('MINTMARK_KEYS_DIR', {
        default: 'keys',
        description: 'directory of the root token, pepper and encryption key generated for embedded Postgres',
      }),
    ),
  }
}

/** For the URLs without a password. A command that none of them needs is a fault: who set it expects it to be used. */
function readPassword(env: Env, urls: readonly (Secret | undefined)[]): PasswordCommand | undefined {
  const words = env.optional('DATABASE_PASSWORD_COMMAND', {
    description:
      'program, with its arguments, that prints the password for new connections, for tokens of RDS, Cloud SQL and Azure; used by each URL above that has no password. It runs without a shell; `{host}`, `{port}` and `{user}` stand for those of the URL',
    parse: commandWords,
  })
  if (!words) return undefined
  const [databaseUrl, , migrateUrl] = urls
  // A job that only migrates has the command of the service, and may have a password.
  const isMigration = databaseUrl === undefined && migrateUrl !== undefined
  if (!isMigration && !urls.some(url => url && !hasPassword(url.reveal())))
    env.fault(
      'DATABASE_PASSWORD_COMMAND',
      'must be used by a URL without a password: remove the password from DATABASE_URL, or unset this',
    )
  return new PasswordCommand({ words, environment: env.ofPrograms })
}

/** A quote or a `$` would be passed as it is, and is always a mistake. */
function commandWords(text: string): readonly string[] {
  const [shell] = /["'`$\\|&;<>*?~\p{Cc}]/u.exec(text) ?? []
  if (shell !== undefined)
    throw new Error(
      'must be a program and its arguments, separated by spaces: there is no shell that reads quotes, variables and pipes, so put these into a script',
    )
  const words = text.split(' ').filter(word => word !== '')
  if (words.length === 0) throw new Error('must name a program')
  const [unknown] = text.replace(/\{(host|port|user)\}/g, '').match(/[{}]/) ?? []
  if (unknown !== undefined) throw new Error('must have no braces but those of {host}, {port} and {user}')
  return words
}

/** A URL in a file is read again at each connection: its password may be rotated while the service runs. */
function changingUrl(text: string, again: (() => string) | undefined): Secret {
  const url = postgresUrl(text)
  return again ? new ChangingSecret(() => currentUrl(again())) : url
}

/** @throws {Error} with a code, so that it counts as a fault of the database */
function currentUrl(text: string): string {
  try {
    return postgresUrl(text).reveal()
  } catch (error) {
    throw Object.assign(new Error(`the file with the URL ${(error as Error).message}`), {
      code: 'INVALID_URL',
    })
  }
}

/** Always quoted, so upper case and hyphens are kept. */
function schemaName(text: string): string {
  if (!/^(?!pg_)[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(text))
    throw new Error(
      'must be a name of at most 63 letters, digits, underscores and hyphens that begins with a letter and not with pg_',
    )
  return text
}
