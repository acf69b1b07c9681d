import { resolve } from 'node:path'
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
  return {
    databaseUrl,
    embedded: databaseUrl === undefined,
    databaseUrlDirect: env.optional('DATABASE_URL_DIRECT', {
      fallback: '`DATABASE_URL`',
      description:
        'URL of Postgres itself if `DATABASE_URL` uses a pooler in transaction mode; for LISTEN, one connection',
      parse: changingUrl,
    }),
    migrateDatabaseUrl:
      env.optional('MIGRATE_DATABASE_URL', {
        fallback: '`DATABASE_URL`',
        description:
          'URL with the owner role, only for `mintmark migrate`, `mintmark seal`, `mintmark audit verify`, `continue` and `prune`',
        parse: postgresUrl,
      }) ?? databaseUrl,
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
