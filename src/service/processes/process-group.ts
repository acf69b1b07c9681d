import type { Readiness } from '../../http/health.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import { mergeCounts, ofProcess, type Snapshot, withoutProcess } from '../../system/merged-metrics.ts'
import { withTimeout } from '../../system/timeout.ts'
import type { Addresses } from '../listeners.ts'
import { Child, type Exit } from './child.ts'

const TICK_MS = 1_000
/** A process that has sent nothing for so many ticks does not count as ready, and later is replaced. */
const SILENT_TICKS = 3
const HUNG_TICKS = 20
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000
/** How much longer than its deadline a process needs to drain (drain.ts). */
const AFTER_DEADLINE_MS = 1_500

/** The place of one process, which its successors take one after another. */
interface Place {
  number: number
  current: Child | undefined
  /** Takes the place once it is ready. */
  successor: Child | undefined
  /** Processes in a row that ended before they were ready. */
  failures: number
}

/**
 * The processes that share the listeners of one parent, each with a number from 1. One that ends is replaced: at once, or
 * with a growing delay when it was never ready.
 */
export class ProcessGroup implements Readiness {
  /** Called when the first process of all is ready. */
  onFirstReady: (addresses: Addresses) => void = () => {}
  exits = 0
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #drainMs: number
  readonly #places: Place[]
  readonly #stopped = new AbortController()
  readonly #children = new Set<Child>()
  #wasReady = false
  #isRestarting = false
  /** What ended processes counted. */
  #past: Snapshot = []

  constructor(options: { size: number; drainDeadlineSeconds: number; clock: Clock; logger: Logger }) {
    this.#drainMs = options.drainDeadlineSeconds * 1000
    this.#clock = options.clock
    this.#logger = options.logger
    this.#places = Array.from({ length: options.size }, (_, index) => ({
      number: index + 1,
      current: undefined,
      successor: undefined,
      failures: 0,
    }))
  }

  start(): void {
    for (const place of this.#places) place.current = this.#begin(place)
    const stopTicks = this.#clock.every(TICK_MS, async () => this.#tick())
    this.#stopped.signal.addEventListener('abort', stopTicks)
  }

  get draining(): boolean {
    return this.#stopped.signal.aborted
  }

  get readyCount(): number {
    return this.#places.filter(({ current }) => current && isReady(current)).length
  }

  /** One process is enough: connections go only to processes that are ready. */
  get ready(): boolean {
    return !this.draining && this.readyCount > 0
  }

  get serving(): boolean {
    return this.#wasReady
  }

  /** Each reason once, with the numbers of the processes that give it. */
  get reason(): string {
    if (this.draining) return 'draining'
    return textOf(Map.groupBy(this.#places, ({ current }) => reasonOf(current)))
  }

  /** What fails although a process is ready, with the numbers of the processes in which it does; '': nothing. */
  get warning(): string {
    const warned = this.#places.filter(({ current }) => current && isReady(current) && current.warning !== '')
    return textOf(Map.groupBy(warned, ({ current }) => current?.warning ?? ''))
  }

  /** Of every process that answers in time; what the others and ended ones counted is included. */
  async snapshots(): Promise<Snapshot[]> {
    const past = this.#past
    const current = new Set(this.#places.map(place => place.current))
    const living = await Promise.all(
      [...this.#children].map(async child => {
        const snapshot = await child.measure()
        if (!snapshot) return child.counts
        return current.has(child) ? ofProcess(snapshot, String(child.number)) : withoutProcess(snapshot)
      }),
    )
    return [...living, past]
  }

  /** Replaces one process after another; each ends once its successor is ready. Ends early when a successor fails. */
  async restart(): Promise<void> {
    if (this.#isRestarting || this.draining) return
    this.#isRestarting = true
    this.#logger.info('restarting the processes one after another')
    for (const place of this.#places) {
      if (await this.#succeed(place)) continue
      if (!this.draining) this.#logger.error({ process: place.number }, 'restart ended: a new process failed')
      break
    }
    this.#isRestarting = false
  }

  /** All processes drain and end. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    const children = [...this.#children]
    for (const child of children) child.stop()
    const ended = Promise.all(children.map(child => child.ended))
    const result = await withTimeout(this.#clock, this.#drainMs + AFTER_DEADLINE_MS, ended)
    if (result === 'timed_out') for (const child of children) child.kill()
    await ended
  }

  #begin(place: Place): Child {
    const child = new Child(place.number, this.#clock, addresses => {
      this.#logger.info({ process: place.number, pid: child.pid }, 'process ready')
      place.failures = 0
      if (!this.#wasReady) this.onFirstReady(addresses)
      this.#wasReady = true
    })
    this.#children.add(child)
    void child.ended.then(exit => this.#noteEnd(place, child, exit))
    return child
  }

  async #noteEnd(place: Place, child: Child, exit: Exit): Promise<void> {
    if (!child.isLeaving) {
      this.exits++
      this.#logger.error({ process: place.number, pid: child.pid, ...exit }, 'process ended unexpectedly')
    }
    if (!child.wasReady) place.failures++
    if (place.successor === child) place.successor = undefined
    else if (place.current === child) {
      place.current = place.successor
      place.successor = undefined
      if (!place.current && !this.draining) void this.#replace(place, child.wasReady)
    }
    const past = await mergeCounts([this.#past, child.counts])
    this.#past = past
    this.#children.delete(child)
  }

  async #replace(place: Place, wasReady: boolean): Promise<void> {
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** (place.failures - 1), LONGEST_RETRY_MS)
    if (!wasReady) await this.#clock.sleep(delayMs, this.#stopped.signal)
    if (!this.draining && !place.current) place.current = this.#begin(place)
  }

  /** @returns whether the place has a new process that is ready */
  async #succeed(place: Place): Promise<boolean> {
    const old = place.current
    const successor = this.#begin(place)
    place.successor = successor
    await Promise.race([successor.firstReady, successor.ended])
    if (!successor.wasReady) return false
    place.current = successor
    place.successor = undefined
    if (this.draining) return false
    old?.leave()
    await old?.ended
    return true
  }

  #tick(): void {
    for (const child of this.#children) {
      if (child.silentTicks === undefined) continue
      child.silentTicks++
      if (child.silentTicks !== HUNG_TICKS) continue
      this.#logger.error({ process: child.number, pid: child.pid }, 'process does not respond')
      child.kill()
    }
  }
}

const isSilent = ({ silentTicks = 0 }: Child) => silentTicks >= SILENT_TICKS
const isReady = (child: Child) => child.ready && !isSilent(child)

function reasonOf(child: Child | undefined): string {
  if (!child) return 'ended, and is being restarted'
  return isSilent(child) ? 'does not respond' : child.reason
}

const textOf = (places: ReadonlyMap<string, readonly Place[]>) =>
  [...places].map(([text, having]) => `${placesText(having)}: ${text}`).join('; ')

const placesText = (places: readonly Place[]) =>
  `${places.length > 1 ? 'processes' : 'process'} ${places.map(({ number }) => number).join(', ')}`
