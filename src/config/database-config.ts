import { resolve } from 'node:path'
import type { Env } from './env.ts'
import { postgresUrl } from './formats.ts'

/** The database, and where the embedded one stores its files. */
export function readDatabase(env: Env) {
  const databaseUrl = env.optional('DATABASE_URL', {
    fallback: 'embedded Postgres',
    description:
      'URL of Postgres 15 to 18 with the application role; unset: an embedded Postgres in the data directory, for development',
    parse: postgresUrl,
  })
  return {
    databaseUrl,
    embedded: databaseUrl === undefined,
    databaseUrlDirect: env.optional('DATABASE_URL_DIRECT', {
      fallback: '`DATABASE_URL`',
      description:
        'URL of Postgres itself if `DATABASE_URL` uses a pooler in transaction mode; for LISTEN, one connection',
      parse: postgresUrl,
    }),
    migrateDatabaseUrl:
      env.optional('MIGRATE_DATABASE_URL', {
        fallback: '`DATABASE_URL`',
        description: 'URL with the owner role, only for `npm run migrate` and `mintmark audit prune`',
        parse: postgresUrl,
      }) ?? databaseUrl,
    databaseMaxConnections: env.integer('MINTMARK_DATABASE_MAX_CONNECTIONS', {
      default: 10,
      min: 4,
      max: 200,
      description:
        'most database connections of one process: one listens for notifications, two follow changes and look up API keys',
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
