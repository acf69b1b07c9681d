import { Kysely } from 'kysely'
import pg from 'pg'
import { systemClock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { PasswordCommand } from '../system/password-command.ts'
import type { Tracing } from '../system/tracing.ts'
import type { Change } from './change.ts'
import { closePromptly } from './close-promptly.ts'
import { IDLE_SESSION_ENDED, TransactionDialect } from './connection.ts'
import { currentClient, type DatabaseAddress, preparePassword } from './current-client.ts'
import { databaseSocket } from './host-lookup.ts'
import { databaseUnavailable, isTransient, serverFault, toDomainError } from './postgres-errors.ts'
import type { Schema } from './schema.ts'
import type { Limits } from './transaction-settings.ts'

/** A connection or a transaction: repositories accept either. */
export type Handle = Kysely<Schema>

/** How long a request waits for the database. Tests of anything but an outage set longer ones. */
export interface DatabaseTimeouts {
  connectMs: number
  queryMs: number
  /** A transaction ends early rather than block others with its locks. */
  limits: Limits
}

const TIMEOUTS: DatabaseTimeouts = {
  connectMs: 500,
  queryMs: 800,
  limits: { lock: '600ms', statement: '2s', idle: '400ms' },
}
/** An idle connection may have died silently. */
const IDLE_TIMEOUT_MS = 8_000
const SERVER_FAULT_MS = 15_000
/** Of a transaction that Postgres rolled back for the sake of another. */
const TRIES = 3

/**
 * database/ is the access to Postgres: the pool, the tables, migrations, and the change feed with its one follower.
 * Everything here works through a transaction-mode pooler: no session state, no named statements, no `SET` but `SET
 * LOCAL`. Nothing depends on the settings of the role, the database or the server: connection.ts.
 *
 * `run` and `write` throw domain errors only: Conflict and Invalid for a violated constraint, Unavailable when the
 * database cannot be reached or does not answer in time.
 */
export class Database {
  /** The longest time that a statement may take. */
  readonly queryTimeoutMs: number
  readonly #address: DatabaseAddress
  readonly #pool: pg.Pool
  readonly #kysely: Kysely<Schema>
  readonly #logger: Logger
  #serverFault: { fault: Error; at: number } | undefined
  #settle: (changes: readonly Change[]) => Promise<void> = async () => {}

  /** A function as `url` is called for each connection. `schema` has the tables. */
  constructor(options: {
    url: string | (() => string)
    /** Of a `url` without one. */
    password?: PasswordCommand | undefined
    maxConnections: number
    logger: Logger
    schema?: string
    /** Undefined: statements are not traced. */
    tracing?: Tracing | undefined
    timeouts?: DatabaseTimeouts | undefined
  }) {
    this.#logger = options.logger
    const { url, password, timeouts = TIMEOUTS } = options
    this.queryTimeoutMs = timeouts.queryMs
    this.#address = { url: typeof url === 'string' ? () => url : url, password }
    this.#pool = new pg.Pool({
      Client: currentClient(this.#address),
      max: options.maxConnections,
      connectionTimeoutMillis: timeouts.connectMs,
      query_timeout: timeouts.queryMs,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      keepAlive: true,
      pipeline: true,
      application_name: 'mintmark',
      stream: databaseSocket,
    })
    // pg-pool emits this for a connection that dies while idle; without a listener it would end the process.
    this.#pool.on('error', (err: Error & { code?: unknown }) => {
      if (err.code !== IDLE_SESSION_ENDED) options.logger.warn({ err }, 'database connection lost')
    })
    // Covers the moment between the pool's own listener, removed on checkout, and ours.
    this.#pool.on('connect', client => void client.on('error', () => {}))
    this.#pool.on('connect', closePromptly)
    this.#kysely = new Kysely<Schema>({
      dialect: new TransactionDialect(this.#pool, {
        schema: options.schema ?? 'public',
        limits: timeouts.limits,
        tracing: options.tracing,
      }),
    })
  }

  /** The connections of this pool by state, and the number of requests waiting for one. */
  get connections(): { idle: number; inUse: number; max: number; waiting: number } {
    const { totalCount, idleCount, waitingCount, options } = this.#pool
    return { idle: idleCount, inUse: totalCount - idleCount, max: options.max, waiting: waitingCount }
  }

  /** What the server lacked for a statement in the last seconds: each replica changes something every five. */
  get serverFault(): Error | undefined {
    const { fault, at = 0 } = this.#serverFault ?? {}
    return systemClock.monotonicMs() - at < SERVER_FAULT_MS ? fault : undefined
  }

  /** One or more statements, each in a transaction of its own. */
  async run<T>(work: (db: Handle) => Promise<T>): Promise<T> {
    try {
      return await work(this.#kysely)
    } catch (error) {
      throw this.#asDomainError(error)
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

  /**
   * Runs one short transaction. Repeats the work when Postgres rolled it back for the sake of another transaction
   * (PostgreSQL manual, "Serialization Failure Handling"), so the work must change nothing but rows.
   */
  async write<T>(work: (trx: Handle) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#kysely.transaction().execute(work)
      } catch (error) {
        if (attempt >= TRIES || !isTransient(error)) throw this.#asDomainError(error)
      }
    }
  }

  #asDomainError(error: unknown): unknown {
    const known = toDomainError(error)
    const fault = serverFault(known)
    if (fault) this.#serverFault = { fault, at: systemClock.monotonicMs() }
    return known
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

  /** Waits for the command of the password, for a process that does not try again. @throws {Unavailable} */
  async preparePassword(): Promise<void> {
    await preparePassword(this.#address).catch(cause => {
      throw databaseUnavailable(cause)
    })
  }

  async close(): Promise<void> {
    await this.#kysely.destroy()
  }
}
