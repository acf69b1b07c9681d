import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from 'kysely'
import pg from 'pg'
import type { Logger } from '../system/logger.ts'
import { cancelStatement } from './cancel.ts'
import type { Change } from './change.ts'
import { leaveWithoutWaiting } from './close-promptly.ts'
import { databaseUnavailable, isConnectionFault, toDomainError } from './postgres-errors.ts'
import type { Schema } from './schema.ts'

/** A connection or a transaction: repositories take whichever they are given. */
export type Handle = Kysely<Schema>

const CONNECT_TIMEOUT_MS = 500
const QUERY_TIMEOUT_MS = 800
/** An idle connection may have died without a word. */
const IDLE_TIMEOUT_MS = 8_000

/**
 * database/ is where Postgres is reached: the pool, the tables, migrations, and the change feed with its one follower.
 * Everything here works through a transaction-mode pooler: no session state, no named statements, no `SET` but
 * `SET LOCAL`.
 *
 * `run` and `write` throw domain errors only: Conflict and Invalid for what a constraint refused, Unavailable when
 * the database cannot be reached or does not answer in time.
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
    // For the moment between the pool's own listener, which goes when a client is given out, and ours.
    this.#pool.on('connect', client => void client.on('error', () => {}))
    this.#pool.on('connect', leaveWithoutWaiting)
    this.#kysely = new Kysely<Schema>({
      dialect: new PostgresDialect({ pool: withoutBrokenClients(this.#pool) }),
    })
  }

  /** How the connections of this pool stand, and how many wait for one. */
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

  /** Several statements that see one moment. */
  async readSnapshot<T>(work: (trx: Handle) => Promise<T>): Promise<T> {
    const transaction = this.#kysely
      .transaction()
      .setIsolationLevel('repeatable read')
      .setAccessMode('read only')
    return this.run(() => transaction.execute(work))
  }

  /** One short transaction: it gives up by itself rather than hold up the others behind its locks. */
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

  /** `settle` gets what this process commits, before the request that asked for it is answered. */
  onCommit(settle: (changes: readonly Change[]) => Promise<void>): void {
    this.#settle = settle
  }

  /** Waits until the change was applied here. Never throws: the change is committed, whatever becomes of that. */
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
 * pg-pool gives a client back out after a query on it timed out, although its connection still waits for the answer.
 * Here a client that met a connection fault refuses further statements at once and leaves the pool when released.
 */
function withoutBrokenClients(pool: pg.Pool): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const client = await pool.connect().catch(cause => {
        // Whatever it is (no route, no TLS, a wrong password, no file descriptor left), it is no fault of the caller.
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
      // Kysely's type also has cursors, which nothing here uses.
      return { query, release } as unknown as PostgresPoolClient
    },
  }
}
