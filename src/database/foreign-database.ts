import pg from 'pg'
import { closePromptly } from './close-promptly.ts'
import { databaseSocket } from './host-lookup.ts'
import { databaseUnavailable, isConnectionFault, toDomainError } from './postgres-errors.ts'

const CONNECT_TIMEOUT_MS = 5_000
/** Another system's tables may be large, and lack an index that would help. */
const STATEMENT_TIMEOUT_MS = 60_000

/** Runs a query, and returns its rows. */
export type ForeignQuery = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>

/**
 * Reads the database of another system in one read-only transaction, so that all rows are of one moment.
 * @throws {Unavailable} when it cannot be reached. @throws {Error} of pg for a statement that fails.
 */
export async function readForeignDatabase<T>(
  url: string,
  work: (query: ForeignQuery) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS,
    application_name: 'mintmark',
    stream: databaseSocket,
  })
  // Without a listener a lost connection would end the process.
  client.on('error', () => {})
  closePromptly(client)
  const query = (text: string, values: readonly unknown[] = []) =>
    client.query(text, [...values]).catch(throwLost)
  try {
    await client.connect().catch(throwLost)
    await query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY')
    return await work(async (text, values) => (await query(text, values)).rows)
  } catch (error) {
    throw toDomainError(error)
  } finally {
    await client.end().catch(() => {})
  }
}

function throwLost(error: unknown): never {
  throw isConnectionFault(error) ? databaseUnavailable(error) : error
}
