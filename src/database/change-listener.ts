import type pg from 'pg'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { withTimeout } from '../system/timeout.ts'
import { CHANGE_CHANNEL, MESSAGE_CHANNEL, notify } from './change-feed.ts'
import { closePromptly } from './close-promptly.ts'
import { CurrentClient, type DatabaseAddress } from './current-client.ts'
import type { Database } from './database.ts'
import { databaseSocket } from './host-lookup.ts'

const CONNECT_TIMEOUT_MS = 2_000
const PROBE_TIMEOUT_MS = 2_000
const PROBE_INTERVAL_MS = 5_000
const SHORTEST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 2_500
/** Pause where LISTEN is accepted but nothing is delivered, as behind a pooler: unlikely to change soon. */
const NOT_DELIVERED_PAUSE_MS = 60_000

/**
 * Wakes this replica on a change, by LISTEN on a connection of its own. It only saves time: replicas poll anyway. A
 * pooler in transaction mode accepts LISTEN and delivers nothing, and a dead connection is silent too, so at the start
 * and every 5 s this process sends itself a notification over another connection. (Over the same one a pooler would
 * pass the test, because it may assign the same server connection again.)
 */
export class ChangeListener {
  readonly #address: DatabaseAddress
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #wake: () => void
  readonly #receive: (message: string) => void
  readonly #stopped = new AbortController()
  readonly #probeChannel: string
  #running: Promise<void> | undefined
  #warned = false
  /** True while notifications arrive; otherwise replicas are as fast as their polls. */
  listening = false

  /**
   * `address` must lead to Postgres itself, not to a pooler; `database` sends the probes. `receive`: a message on the channel of
   * messages, from anyone.
   */
  constructor(options: {
    address: DatabaseAddress
    database: Database
    clock: Clock
    random: Random
    logger: Logger
    wake: () => void
    receive?: (message: string) => void
  }) {
    this.#address = options.address
    this.#database = options.database
    this.#clock = options.clock
    this.#random = options.random
    this.#logger = options.logger
    this.#wake = options.wake
    this.#receive = options.receive ?? (() => {})
    this.#probeChannel = `mintmark_probe_${options.random.bytes(8).toString('hex')}`
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  /** Listens; reconnects after a random pause, so that replicas do not reconnect at once. */
  async #run(): Promise<void> {
    let pause = SHORTEST_PAUSE_MS
    while (!this.#stopped.signal.aborted) {
      const fault = await this.#listen()
      const listened = this.listening
      this.listening = false
      if (this.#stopped.signal.aborted) return
      if (!this.#warned)
        this.#logger.warn({ err: fault }, 'LISTEN does not deliver notifications; polling every 500 ms')
      this.#warned = true
      if (listened) pause = SHORTEST_PAUSE_MS
      else if (fault instanceof NotDelivered) pause = NOT_DELIVERED_PAUSE_MS
      else pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
      await this.#clock.sleep(pause / 2 + this.#random.integer(pause), this.#stopped.signal)
    }
  }

  /** Returns the reason why it ended. */
  async #listen(): Promise<unknown> {
    const lost = new AbortController()
    const client = new CurrentClient(this.#address, {
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: PROBE_TIMEOUT_MS,
      keepAlive: true,
      application_name: 'mintmark-listener',
      stream: databaseSocket,
    })
    client.on('error', err => lost.abort(err)).on('end', () => lost.abort(new Error('the connection ended')))
    const stop = () => lost.abort()
    this.#stopped.signal.addEventListener('abort', stop)
    try {
      await client.connect()
      closePromptly(client)
      await this.#follow(client, lost.signal)
      return lost.signal.reason
    } catch (error) {
      return error
    } finally {
      this.#stopped.signal.removeEventListener('abort', stop)
      await client.end().catch(() => {})
    }
  }

  async #follow(client: pg.Client, lost: AbortSignal): Promise<void> {
    let heard = () => {}
    lost.addEventListener('abort', () => heard())
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === this.#probeChannel) heard()
      else if (channel === MESSAGE_CHANNEL) this.#receive(payload)
      else this.#wake()
    })
    await client.query(`LISTEN ${CHANGE_CHANNEL}`)
    await client.query(`LISTEN ${MESSAGE_CHANNEL}`)
    await client.query(`LISTEN ${this.#probeChannel}`)
    while (!lost.aborted) {
      const arrived = new Promise<void>(resolve => {
        heard = resolve
      })
      await this.#database.run(db => notify(db, this.#probeChannel))
      const answer = await withTimeout(this.#clock, PROBE_TIMEOUT_MS, arrived)
      if (lost.aborted) return
      if (answer === 'timed_out') throw new NotDelivered(NOT_DELIVERED)
      if (!this.listening) {
        // Only here is it a session of its own: this statement must not reach one that a pooler shares.
        await client.query('SET idle_session_timeout = 0')
        this.#began()
      }
      await this.#clock.sleep(PROBE_INTERVAL_MS, lost)
    }
  }

  #began(): void {
    this.listening = true
    if (this.#warned) this.#logger.info('LISTEN delivers notifications again')
    this.#warned = false
    // Catches up on notifications from before LISTEN.
    this.#wake()
  }
}

class NotDelivered extends Error {
  override readonly name = 'NotDelivered'
}

const NOT_DELIVERED =
  'a test notification did not arrive: if DATABASE_URL uses a pooler, set DATABASE_URL_DIRECT to Postgres itself'
