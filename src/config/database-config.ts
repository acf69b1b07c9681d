import { resolve } from 'node:path'
import type { Env } from './env.ts'
import { postgresUrl } from './formats.ts'

/** The database, and where the embedded one stores its files. */
export function readDatabase(env: Env) {
  const databaseUrl = env.optional('DATABASE_URL', {
    fallback: 'embedded Postgres',
    description:
      'Postgres 15 to 18, as the application role; unset starts one in the data directory, for development',
    parse: postgresUrl,
  })
  return {
    databaseUrl,
    embedded: databaseUrl === undefined,
    databaseUrlDirect: env.optional('DATABASE_URL_DIRECT', {
      fallback: '`DATABASE_URL`',
      description:
        'Postgres itself, where `DATABASE_URL` leads to a pooler in transaction mode: for LISTEN, on one connection',
      parse: postgresUrl,
    }),
    migrateDatabaseUrl:
      env.optional('MIGRATE_DATABASE_URL', {
        fallback: '`DATABASE_URL`',
        description: 'the owner role, for `npm run migrate` only',
        parse: postgresUrl,
      }) ?? databaseUrl,
    databaseMaxConnections: env.integer('MINTMARK_DATABASE_MAX_CONNECTIONS', {
      default: 10,
      min: 4,
      max: 200,
      description:
        'connections that one process keeps open at the most: one listens, two follow changes and look keys up',
    }),
    dataDir: resolve(
      env.text('MINTMARK_DATA_DIR', { default: '.mintmark', description: 'where embedded Postgres lives' }),
    ),
    keysDir: resolve(
      env.text('MINTMARK_KEYS_DIR', {
        default: 'keys',
        description: 'root token, pepper and encryption key made for embedded Postgres',
      }),
    ),
  }
}
