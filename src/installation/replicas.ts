import { sql } from 'kysely'
import type { Database } from '../database/database.ts'

/** A process that serves this installation, as it reported itself. */
export interface Replica {
  id: string
  host: string
  startedAt: Date
  /** When it last reached the database, in database time. */
  seenAt: Date
  stalenessSeconds: number
  /** When it stops exchanging, unless it reaches the database before. */
  exchangesUntil: Date
  /** The signing keys that it publishes. */
  kids: readonly string[]
  /** `exchangesUntil` has passed, if it has one. */
  silent: boolean
}

/** What a replica reports about gateways. */
export interface ReplicaReport {
  host: string
  isOwn: boolean
  /** It did not report for longer than two reports take. */
  isLate: boolean
  gateways: unknown
}

/** How often a replica reports itself. */
export const ANNOUNCE_MS = 5_000
/** It may have followed changes for a while after its last report; one report may have failed. */
const UNSEEN_SECONDS = (2 * ANNOUNCE_MS) / 1000
const EXCHANGES_UNTIL = sql<Date>`seen_at + (staleness_seconds + ${UNSEEN_SECONDS}::integer) * interval '1 second'`

/**
 * The running processes and their signing keys, reported by each of them. It decides nothing: in an emergency it shows
 * an operator which replicas may have missed a revocation. It does not change the installation, so it is not audited.
 */
export class Replicas {
  readonly #database: Database
  readonly #self: { id: string; host: string; stalenessSeconds: number }
  readonly #gateways: () => object
  /** What was last reported about gateways, in JSON. */
  #written: string | undefined

  /** `gateways`: what this process knows of gateways, bounded. */
  constructor(options: {
    database: Database
    id: string
    host: string
    stalenessSeconds: number
    gateways: () => object
  }) {
    const { database, gateways, ...self } = options
    this.#database = database
    this.#gateways = gateways
    this.#self = self
  }

  /** Reports that this process runs, publishes these signing keys, and what it knows of gateways. */
  async announce(kids: readonly string[]): Promise<void> {
    const { id, host, stalenessSeconds } = this.#self
    const text = JSON.stringify(this.#gateways())
    const seen = { seen_at: sql<Date>`clock_timestamp()`, kids: [...kids] }
    // A report that did not change is not written again: it may be long.
    const changed = text === this.#written ? seen : { ...seen, gateways: text }
    await this.#database.run(db =>
      db
        .insertInto('replicas')
        .values({ id, host, staleness_seconds: stalenessSeconds, ...seen, gateways: text })
        .onConflict(conflict => conflict.column('id').doUpdateSet(changed))
        .execute(),
    )
    this.#written = text
  }

  /** What the replicas that are not silent report about gateways. */
  async reports(): Promise<ReplicaReport[]> {
    const isLate = sql<boolean>`seen_at < clock_timestamp() - ${UNSEEN_SECONDS}::integer * interval '1 second'`
    const rows = await this.#database.run(db =>
      db
        .selectFrom('replicas')
        .select(['id', 'host', 'gateways', isLate.as('is_late')])
        .where(sql<boolean>`${EXCHANGES_UNTIL} >= clock_timestamp()`)
        .orderBy('started_at')
        .execute(),
    )
    return rows.map(({ id, host, gateways, is_late }) => ({
      host,
      isOwn: id === this.#self.id,
      isLate: is_late,
      gateways,
    }))
  }

  /** How many other processes reported themselves lately. */
  async countOthers(): Promise<number> {
    const others = await this.#database.run(db =>
      db
        .selectFrom('replicas')
        .select('id')
        .where('id', '<>', this.#self.id)
        .where(sql<boolean>`seen_at >= clock_timestamp() - ${UNSEEN_SECONDS}::integer * interval '1 second'`)
        .execute(),
    )
    return others.length
  }

  /** Removes this process: no revocation waits for it any more. */
  async leave(): Promise<void> {
    await this.#database.run(db => db.deleteFrom('replicas').where('id', '=', this.#self.id).execute())
  }

  async list(): Promise<Replica[]> {
    const rows = await this.#database.run(db =>
      db
        .selectFrom('replicas')
        .select(['id', 'host', 'started_at', 'seen_at', 'staleness_seconds', 'kids'])
        .select([EXCHANGES_UNTIL.as('exchanges_until')])
        .select([sql<boolean>`${EXCHANGES_UNTIL} < clock_timestamp()`.as('silent')])
        .orderBy('started_at')
        .execute(),
    )
    return rows.map(row => ({
      id: row.id,
      host: row.host,
      startedAt: row.started_at,
      seenAt: row.seen_at,
      stalenessSeconds: row.staleness_seconds,
      exchangesUntil: row.exchanges_until,
      kids: row.kids,
      silent: row.silent,
    }))
  }

  /** Deletes those that have been silent for a day. */
  async prune(): Promise<void> {
    const silent = sql<boolean>`seen_at < now() - greatest(staleness_seconds * interval '1 second', interval '1 day')`
    await this.#database.run(db => db.deleteFrom('replicas').where(silent).execute())
  }
}
