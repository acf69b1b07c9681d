import { sql } from 'kysely'
import type { Clock } from '../system/clock.ts'
import type { Database, Handle } from './database.ts'

const SLOW_MS = 100

/**
 * Database time, extrapolated between measurements by the monotonic clock, so that a wrong host clock does not affect
 * the dates in tokens and all replicas agree on when a key expires.
 */
export class DatabaseTime {
  readonly #clock: Clock
  /** Database epoch milliseconds minus monotonic milliseconds. */
  #offset: number | undefined
  /** It was not measured: it is the host's. */
  #assumed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Epoch milliseconds; host time until the first measurement. */
  now(): number {
    return this.#offset === undefined ? this.#clock.wallMs() : this.#clock.monotonicMs() + this.#offset
  }

  /** How far the host's clock is ahead of the database's, in milliseconds; undefined until the first measurement. */
  get hostAheadMs(): number | undefined {
    return this.#offset === undefined ? undefined : this.#clock.wallMs() - this.now()
  }

  /** Takes the host's time for the database's, carried by the monotonic clock, until the first measurement. */
  assumeHost(): void {
    this.#offset = this.#clock.wallMs() - this.#clock.monotonicMs()
    this.#assumed = true
  }

  /** Queries the database time and takes the middle of the round trip as its instant. */
  async measure(database: Database): Promise<void> {
    const sent = this.#clock.monotonicMs()
    const answered = await database.run(databaseNow)
    const received = this.#clock.monotonicMs()
    // A slow query may have waited for a connection first: after the first measurement slow ones are ignored.
    if (this.#offset !== undefined && !this.#assumed && received - sent > SLOW_MS) return
    this.#assumed = false
    this.#offset = answered - (sent + received) / 2
  }
}

/** The database's current time in epoch milliseconds; not the transaction's now(), which is from its beginning. */
export async function databaseNow(db: Handle): Promise<number> {
  const { rows } = await sql<{ now: Date }>`SELECT clock_timestamp() AS now`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the database returned no time')
  return row.now.getTime()
}
