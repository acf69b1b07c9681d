import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { copyFile, readFile, stat, truncate } from 'node:fs/promises'
import { createServer } from 'node:net'
import pg from 'pg'
import type { Clock } from '../system/clock.ts'
import { EmbeddedPostgresError } from './error.ts'
import { sendSignal, stopLeftover, stopPostmaster } from './postmaster.ts'
import type { Programs } from './programs.ts'
import { asUser, type DatabaseUser, ignoring } from './user.ts'

const START_MS = 120_000
const POLL_MS = 25
/**
 * During this time a rejected password may come from another server on our port, with our server about to end; later it
 * is final.
 */
const REFUSED_MS = 2_000

/** Failures that a retry may cure: a port taken at that moment, remains of a killed server that are not gone yet. */
const PASSING = /could not bind|pre-existing shared memory block|lock file "postmaster.pid" already exists/
const PASSING_MS = 10_000
const RETRY_MS = 250

const LOG_LIMIT_BYTES = 8 * 1024 * 1024
const LOG_CHECK_MS = 60_000

export interface ServerOptions {
  programs: Programs
  /** Folder of the cluster, absolute and without links. */
  data: string
  user: DatabaseUser | undefined
  ownerPassword: string
  logFile: string
  clock: Clock
  /** False: without fsync, for data that a crash of the machine may take. */
  durable: boolean
  onProgress(message: string): void
  /** A TCP port of 127.0.0.1 to try; default: any free one. */
  choosePort?(): Promise<number>
}

export interface Server {
  port: number
  /** A connection of the owner to the database `postgres`, which the caller ends. */
  client: pg.Client
  /** Resolves when the server has ended for any reason, with the way it ended: `exit code 0`, `SIGKILL`. */
  exited: Promise<string>
  stop(): Promise<void>
}

/** Starts the server and waits until it answers a query; throws EmbeddedPostgresError with the end of its log. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { clock, logFile, onProgress, choosePort = freePort } = options
  const lastTryAt = clock.monotonicMs() + PASSING_MS
  const cluster = { data: options.data, pgCtl: options.programs.pgCtl, clock }
  for (;;) {
    await stopLeftover(cluster, onProgress)
    await boundLog(logFile)
    const port = await choosePort()
    const begin = await sizeOf(logFile)
    const { pid, exited } = launch(options, port)
    const stop = async () => {
      if (pid !== undefined) await stopPostmaster(pid, cluster)
      await exited
    }
    const outcome = await untilReady(options, port, exited)
    if (outcome instanceof pg.Client) return bounded({ port, client: outcome, exited, stop }, options)
    if (outcome instanceof Error) await stop()
    const said = (await readFile(logFile)).subarray(begin).toString('utf8')
    if (outcome instanceof Error || !PASSING.test(said) || clock.monotonicMs() > lastTryAt) {
      const end = said.trimEnd().split('\n').slice(-12).join('\n  ')
      const what = outcome instanceof Error ? `did not answer: ${outcome.message}` : `ended (${await exited})`
      throw new EmbeddedPostgresError(`Postgres ${what}. The end of ${logFile}:\n  ${end}`, {
        cause: outcome,
      })
    }
    await clock.sleep(RETRY_MS)
  }
}

/** In a separate process group, so that Ctrl-C at the terminal reaches only this process, which drains first. */
function launch({ programs, data, user, logFile, durable }: ServerOptions, port: number) {
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn(programs.postgres, ['-D', data, ...settings(port, durable)], {
    ...asUser(user, data),
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const interrupt = () => child.pid !== undefined && sendSignal(child.pid, 'SIGINT', programs.pgCtl)
  process.once('exit', interrupt)
  const exited = new Promise<string>(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
  }).finally(() => process.off('exit', interrupt))
  return { pid: child.pid, exited }
}

/**
 * Command-line settings override postgresql.conf and ALTER SYSTEM. The last three keep statements and values out of the
 * log.
 */
function settings(port: number, durable: boolean): string[] {
  const onDisk = durable ? 'on' : 'off'
  return Object.entries({
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: 100,
    fsync: onDisk,
    synchronous_commit: 'on',
    full_page_writes: onDisk,
    logging_collector: 'off',
    log_destination: 'stderr',
    log_statement: 'none',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/** A connection; `undefined` when the server ended first; an Error when it will not answer. */
async function untilReady(options: ServerOptions, port: number, exited: Promise<string>) {
  const { clock, ownerPassword, onProgress } = options
  let running = true
  const ended = exited.then(() => {
    running = false
  })
  const begin = clock.monotonicMs()
  for (let reported = false; running; await Promise.race([clock.sleep(POLL_MS), ended])) {
    const outcome = await connect(port, ownerPassword)
    if (outcome instanceof pg.Client) return outcome
    const waited = clock.monotonicMs() - begin
    if (waited > (outcome.code === '28P01' ? REFUSED_MS : START_MS)) return outcome
    if (!reported && waited > 1_000) onProgress('Waiting for Postgres to start or recover')
    reported ||= waited > 1_000
  }
  return undefined
}

async function connect(port: number, password: string): Promise<pg.Client | (Error & { code?: string })> {
  const connection = { host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres', ssl: false }
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 1_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
    return client
  } catch (error) {
    await client.end().catch(() => {})
    return error as Error
  }
}

/** Takes a free port from the system. Another program may take it before Postgres does: see PASSING. */
async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', resolve)
  })
  const address = probe.address()
  await new Promise(resolve => probe.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

/** Keeps the log bounded while the server runs. */
function bounded(server: Server, { clock, logFile }: ServerOptions): Server {
  const stopChecking = clock.every(LOG_CHECK_MS, () => boundLog(logFile))
  return { ...server, exited: server.exited.finally(stopChecking) }
}

/** Moves a long log to `….1`. The server keeps the same file open, so it is copied and truncated, not renamed. */
async function boundLog(logFile: string): Promise<void> {
  if ((await sizeOf(logFile)) < LOG_LIMIT_BYTES) return
  await copyFile(logFile, `${logFile}.1`)
  await truncate(logFile)
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(ignoring('ENOENT')))?.size ?? 0
}
