import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from 'kysely'
import pg from 'pg'
import type { Logger } from '../system/logger.ts'
import { cancelStatement } from './cancel.ts'
import type { Change } from './change.ts'
import { closePromptly } from './close-promptly.ts'
import { databaseUnavailable, isConnectionFault, toDomainError } from './postgres-errors.ts'
import type { Schema } from './schema.ts'

/** A connection or a transaction: repositories accept either. */
export type Handle = Kysely<Schema>

const CONNECT_TIMEOUT_MS = 500
const QUERY_TIMEOUT_MS = 800
/** An idle connection may have died silently. */
const IDLE_TIMEOUT_MS = 8_000

/**
 * database/ is the access to Postgres: the pool, the tables, migrations, and the change feed with its one follower.
 * Everything here works through a transaction-mode pooler: no session state, no named statements, no `SET` but `SET
 * LOCAL`.
 *
 * `run` and `write` throw domain errors only: Conflict and Invalid for a violated constraint, Unavailable when the
 * database cannot be reached or does not answer in time.
 */
export class Database {
  readonly #pool: pg.Pool
  readonly #kysely: Kysely<Schema>
  readonly #logger: Logger
  #settle: (changes: readonly Change[]) => Promise<void> = async () => {}

  constructor(options: { url: string; maxConnections: number; logger: Logger }) {
    this.#logger = options.logger
    this.#pool = new pg.Pool({
      connectionString: options.url,
      max: options.maxConnections,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      keepAlive: true,
      application_name: 'mintmark',
    })
    // pg-pool emits this for a connection that dies while idle; without a listener it would end the process.
    this.#pool.on('error', err => options.logger.warn({ err }, 'database connection lost'))
    // Covers the moment between the pool's own listener, removed on checkout, and ours.
    this.#pool.on('connect', client => void client.on('error', () => {}))
    this.#pool.on('connect', closePromptly)
    this.#kysely = new Kysely<Schema>({
      dialect: new PostgresDialect({ pool: withoutBrokenClients(this.#pool) }),
    })
  }

  /** The connections of this pool by state, and the number of requests waiting for one. */
  get connections(): { idle: number; inUse: number; max: number; waiting: number } {
    const { totalCount, idleCount, waitingCount, options } = this.#pool
    return { idle: idleCount, inUse: totalCount - idleCount, max: options.max, waiting: waitingCount }
  }

  /** One or more statements outside a transaction. */
  async run<T>(work: (db: Handle) => Promise<T>): Promise<T> {
    try {
      return await work(this.#kysely)
    } catch (error) {
      throw toDomainError(error)
    }
  }

  /** Runs several statements in one snapshot. */
  async readSnapshot<T>(work: (trx: Handle) => Promise<T>): Promise<T> {
    const transaction = this.#kysely
      .transaction()
      .setIsolationLevel('repeatable read')
      .setAccessMode('read only')
    return this.run(() => transaction.execute(work))
  }

  /** Runs one short transaction. It times out rather than block others with its locks. */
  async write<T>(work: (trx: Handle) => Promise<T>): Promise<T> {
    try {
      return await this.#kysely.transaction().execute(async trx => {
        await sql`SELECT set_config('lock_timeout', '600ms', true), set_config('statement_timeout', '2s', true),
          set_config('idle_in_transaction_session_timeout', '400ms', true)`.execute(trx)
        return await work(trx)
      })
    } catch (error) {
      throw toDomainError(error)
    }
  }

  /** `settle` receives the changes that this process committed, before the request is answered. */
  onCommit(settle: (changes: readonly Change[]) => Promise<void>): void {
    this.#settle = settle
  }

  /** Waits until the change is applied in this process. Never throws: the change is committed in any case. */
  async committed(changes: readonly Change[]): Promise<void> {
    await this.#settle(changes).catch(err =>
      this.#logger.error({ err, changes }, 'a committed change was not applied in memory'),
    )
  }

  async close(): Promise<void> {
    await this.#kysely.destroy()
  }
}

/**
 * pg-pool reuses a client after a query on it timed out, although its connection still waits for the result. Here a
 * client with a connection fault rejects further statements and is removed from the pool on release.
 */
function withoutBrokenClients(pool: pg.Pool): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const client = await pool.connect().catch(cause => {
        // Any cause (no route, no TLS, a wrong password, too many open files) is a server error.
        throw databaseUnavailable(cause)
      })
      let fault: unknown
      const noteFault = (error: unknown) => {
        fault ??= error
      }
      client.on('error', noteFault)
      const query = async (statement: string, parameters: readonly unknown[]) => {
        if (fault) throw fault
        try {
          return await client.query(statement, [...parameters])
        } catch (error) {
          if (isConnectionFault(error)) noteFault(error)
          if ((error as Error).message === 'Query read timeout') cancelStatement(client)
          throw error
        }
      }
      const release = (discard = false) => {
        client.off('error', noteFault)
        client.release(discard || fault !== undefined)
      }
      // Kysely's type also has cursors, which are not used here.
      return { query, release } as unknown as PostgresPoolClient
    },
  }
}
