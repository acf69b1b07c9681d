import {
  CompiledQuery,
  type DatabaseConnection,
  PostgresDialect,
  PostgresDriver,
  type PostgresPool,
  type PostgresPoolClient,
  type TransactionSettings,
} from 'kysely'
import type pg from 'pg'
import type { Unavailable } from '../errors.ts'
import type { Tracing } from '../system/tracing.ts'
import { cancelStatement } from './cancel.ts'
import {
  beginFault,
  CommitUnanswered,
  databaseUnavailable,
  isConnectionFault,
  noteStatement,
} from './postgres-errors.ts'
import { type Limits, localSettings, sessionSettings } from './transaction-settings.ts'

const begin = ({ isolationLevel = 'read committed', accessMode = 'read write' }: TransactionSettings) =>
  `BEGIN ISOLATION LEVEL ${isolationLevel}, ${accessMode}, NOT DEFERRABLE`
const BEGIN = /^BEGIN ISOLATION LEVEL /
const READ_ONLY = / read only,/
/** A transaction that only reads holds no lock that others wait for. */
const IDLE_READING = '10s'
const END = /^(commit|rollback)$/
/** No transaction may run these. */
const CONCURRENTLY = /^(CREATE|DROP) (UNIQUE )?INDEX CONCURRENTLY /
/** `idle_session_timeout`: Postgres ended the session while it waited, and read none of what was sent. */
export const IDLE_SESSION_ENDED = '57P05'
const TRIES = 3
const NOTHING = { command: 'BEGIN', rowCount: null, rows: [] }

/** What a pool gives to the transactions of its connections. */
export interface Transactions {
  schema: string
  limits: Limits
  /** Further settings. */
  settings?: Record<string, string>
  /** Undefined: statements are not traced. */
  tracing?: Tracing | undefined
}

/**
 * Postgres for Kysely, where nothing depends on what a role, a database or a pooler sets: each statement runs in a
 * transaction that begins with its isolation, its access mode and all settings that matter. They are sent together
 * with the first statement, and COMMIT with a single one, so it costs no further round trip, no session is changed, and a
 * process that stops in between leaves no transaction open.
 */
export class TransactionDialect extends PostgresDialect {
  readonly #pool: PostgresPool

  constructor(pool: pg.Pool, transactions: Transactions) {
    const clients = transactionClients(pool, transactions)
    super({ pool: clients })
    this.#pool = clients
  }

  override createDriver(): PostgresDriver {
    return new TransactionDriver({ pool: this.#pool })
  }
}

class TransactionDriver extends PostgresDriver {
  override async beginTransaction(
    connection: DatabaseConnection,
    settings: TransactionSettings,
  ): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(begin(settings)))
  }

  /**
   * Never hides the error that led to it. A transaction that failed has its settings no more, so the session may have been
   * ended by its own timeout; a connection that does not roll back is closed.
   */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback')).catch(() => {})
  }
}

/**
 * pg-pool reuses a client after a query on it timed out, although its connection still waits for the result. Here a
 * client with a connection fault rejects further statements and is removed from the pool on release.
 */
function transactionClients(pool: pg.Pool, transactions: Transactions): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const client = new TransactionClient(await checkout(pool), pool, transactions)
      // Kysely's type also has cursors, which are not used here.
      return client as unknown as PostgresPoolClient
    },
  }
}

/** @throws {Unavailable} for any cause: no route, no TLS, a wrong password, too many open files */
async function checkout(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (cause) {
    throw databaseUnavailable(cause)
  }
}

/** One checkout of a client; of another one when Postgres has ended the session before its first statement. */
class TransactionClient {
  readonly #pool: pg.Pool
  #client: pg.PoolClient
  /** Nothing was executed yet. */
  #unused = true
  #released = false
  readonly #transactions: Transactions
  #fault: Unavailable | undefined
  /** The beginning of the open transaction. */
  #begun: { by: string; done: Promise<pg.QueryResult> } | undefined

  constructor(client: pg.PoolClient, pool: pg.Pool, transactions: Transactions) {
    this.#client = client
    this.#pool = pool
    this.#transactions = transactions
    client.on('error', this.#noteFault)
  }

  release(discard = false): void {
    if (this.#released) return
    this.#released = true
    this.#client.off('error', this.#noteFault)
    this.#client.release(discard || this.#fault !== undefined)
  }

  async query(statement: string, parameters: readonly unknown[]): Promise<Partial<pg.QueryResult>> {
    if (BEGIN.test(statement)) {
      this.#begun = { by: statement, done: this.#begin(statement) }
      return NOTHING
    }
    const { tracing } = this.#transactions
    const execute = () => this.#execute(statement, parameters)
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await (tracing ? tracing.query(statement, execute) : execute())
        this.#unused = false
        return result
      } catch (error) {
        if (!hasIdleSessionEnded(error) || !this.#unused || attempt >= TRIES) throw error
        await this.#checkoutAnother()
      }
    }
  }

  #execute(statement: string, parameters: readonly unknown[]): Promise<pg.QueryResult> {
    if (this.#fault) return Promise.reject(this.#fault)
    if (CONCURRENTLY.test(statement)) return this.#outsideTransactions(statement)
    const begun = this.#begun
    if (!begun) return this.#alone(statement, parameters)
    if (END.test(statement)) this.#begun = undefined
    const sent = this.#send(statement, parameters)
    return second(inOrder([begun.done, statement === 'commit' ? this.#committed(sent) : sent]))
  }

  /** Postgres may wait for a standby before it answers. `before`: what must have succeeded. */
  async #committed(sent: Promise<pg.QueryResult>, before?: Promise<unknown>): Promise<pg.QueryResult> {
    const [outcome, earlier] = await Promise.allSettled([sent, before])
    if (outcome.status === 'fulfilled') return outcome.value
    const { cause } = outcome.reason as Error
    if (!isLate(cause) || earlier.status === 'rejected') throw outcome.reason
    throw databaseUnavailable(new CommitUnanswered(cause))
  }

  async #checkoutAnother(): Promise<void> {
    this.release(true)
    this.#client = await checkout(this.#pool)
    this.#released = false
    this.#client.on('error', this.#noteFault)
    this.#fault = undefined
    if (this.#begun) this.#begun.done = this.#begin(this.#begun.by)
  }

  #alone(statement: string, parameters: readonly unknown[]): Promise<pg.QueryResult> {
    const begun = this.#begin(begin({}))
    const executed = this.#send(statement, parameters)
    return second(inOrder([begun, executed, this.#committed(this.#send('COMMIT'), executed)]))
  }

  #outsideTransactions(statement: string): Promise<pg.QueryResult> {
    const settings = sessionSettings(this.#transactions.schema)
    return second(inOrder([this.#send(settings), this.#send(statement), this.#send('RESET ALL')]))
  }

  #begin(statement: string): Promise<pg.QueryResult> {
    const { schema, limits, settings } = this.#transactions
    const idle = READ_ONLY.test(statement) ? IDLE_READING : limits.idle
    const local = localSettings(schema, { ...limits, idle }, settings)
    const begun = this.#send(`${statement}; ${local}`).catch(error => {
      throw beginFault(error)
    })
    // Reported by the first statement.
    begun.catch(() => {})
    return begun
  }

  async #send(statement: string, parameters: readonly unknown[] = []): Promise<pg.QueryResult> {
    try {
      return await this.#client.query(statement, [...parameters])
    } catch (error) {
      if (isLate(error)) cancelStatement(this.#client)
      noteStatement(error, statement)
      const lost = isConnectionFault(error)
      if (lost || statement === 'rollback') this.#noteFault(error)
      throw lost ? databaseUnavailable(error) : error
    }
  }

  readonly #noteFault = (error: unknown): void => {
    this.#fault ??= databaseUnavailable(error)
  }
}

const isLate = (error: unknown): error is Error =>
  (error as Error | undefined)?.message === 'Query read timeout'

const hasIdleSessionEnded = (error: unknown): boolean =>
  ((error as Error).cause as { code?: unknown } | undefined)?.code === IDLE_SESSION_ENDED

const second = async (sent: Promise<pg.QueryResult[]>): Promise<pg.QueryResult> =>
  (await sent)[1] as pg.QueryResult

/** The results of statements that were sent together. @throws the first error in their order: later ones follow from it */
async function inOrder(sent: readonly Promise<pg.QueryResult>[]): Promise<pg.QueryResult[]> {
  const settled = await Promise.allSettled(sent)
  return settled.map(outcome => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}
