import cluster, { type Worker } from 'node:cluster'
import type { Clock } from '../../system/clock.ts'
import { countsOf, type Snapshot } from '../../system/merged-metrics.ts'
import { withTimeout } from '../../system/timeout.ts'
import type { Addresses } from '../listeners.ts'
import type { FromMember, ToMember } from './messages.ts'

const LONGEST_ANSWER_MS = 1_000
const LAST_MESSAGES_MS = 200

/** How a process ended. */
export interface Exit {
  code: number | null
  signal: string | null
}

/** One of the processes, as its parent knows it. */
export class Child {
  readonly number: number
  readonly ended: Promise<Exit>
  readonly firstReady: Promise<void>
  ready = false
  wasReady = false
  /** It was asked to end. */
  isLeaving = false
  reason = 'starting'
  warning = ''
  /** Ticks of the parent since its last message; undefined before the first one. */
  silentTicks: number | undefined
  /** Its counters and histograms as last sent. */
  counts: Snapshot = []
  readonly #worker: Worker
  readonly #clock: Clock
  readonly #answers = new Map<number, (snapshot: Snapshot) => void>()
  #lastId = 0

  /** `onReady` is called once, with the addresses that it listens on. */
  constructor(number: number, clock: Clock, onReady: (addresses: Addresses) => void) {
    this.number = number
    this.#clock = clock
    this.#worker = cluster.fork()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.firstReady = promise
    this.#worker.on('message', (message: FromMember) => {
      this.silentTicks = 0
      if (message.type === 'metrics') return this.#noteMetrics(message.snapshot, message.id)
      this.ready = message.ready
      this.reason = message.reason
      this.warning = message.warning
      if (!message.ready || this.wasReady) return
      this.wasReady = true
      onReady(message.addresses)
      resolve()
    })
    // A process that is ending no longer reads.
    this.#worker.on('error', () => {})
    this.ended = this.#end()
    this.#send({ type: 'begin', process: number })
  }

  get pid(): number | undefined {
    return this.#worker.process.pid
  }

  /** It drains and ends, as the whole service does. */
  stop(): void {
    this.isLeaving = true
    this.#worker.process.kill('SIGTERM')
  }

  /** It drains and ends, because its successor is ready. */
  leave(): void {
    this.isLeaving = true
    this.#send({ type: 'leave' })
  }

  kill(): void {
    this.#worker.process.kill('SIGKILL')
  }

  /** Undefined when it does not answer within a second. */
  async measure(): Promise<Snapshot | undefined> {
    const id = ++this.#lastId
    const answer = new Promise<Snapshot>(resolve => this.#answers.set(id, resolve))
    this.#send({ type: 'measure', id })
    const snapshot = await withTimeout(this.#clock, LONGEST_ANSWER_MS, answer)
    this.#answers.delete(id)
    return snapshot === 'timed_out' ? undefined : snapshot
  }

  #noteMetrics(snapshot: Snapshot, id: number | undefined): void {
    this.counts = countsOf(snapshot)
    if (id === undefined) this.#send({ type: 'end' })
    else this.#answers.get(id)?.(snapshot)
  }

  #send(message: ToMember): void {
    if (this.#worker.isConnected()) this.#worker.send(message)
  }

  /**
   * All that it sent has been read by then. After kill -9 the channel does not always report its end; until it does,
   * node:cluster would hand connections to a process that is gone.
   */
  async #end(): Promise<Exit> {
    const disconnect = new Promise<void>(resolve => this.#worker.once('disconnect', () => resolve()))
    const exit = await new Promise<Exit>(resolve => {
      this.#worker.once('exit', (code: number | null, signal: string | null) => resolve({ code, signal }))
    })
    await withTimeout(this.#clock, LAST_MESSAGES_MS, disconnect)
    if (this.#worker.isConnected()) this.#worker.process.disconnect()
    this.ready = false
    return exit
  }
}
