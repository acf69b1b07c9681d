import { Unavailable } from '../errors.ts'
import type { Clock } from './clock.ts'
import { withTimeout } from './timeout.ts'

interface Place {
  name: string
  begin(): void
}

/**
 * A bounded queue for expensive work: one task per name at a time, few tasks at once in total, and a maximum length, so
 * that a flood is rejected instead of piling up.
 */
export class KeyedQueue {
  readonly #limits: { atOnce: number; mostWaiting: number; mostWaitingOfOne: number; longestWaitMs: number }
  readonly #clock: Clock
  readonly #busy = new Set<string>()
  #queue: Place[] = []

  constructor(options: {
    atOnce: number
    mostWaiting: number
    mostWaitingOfOne: number
    longestWaitMs: number
    clock: Clock
  }) {
    const { clock, ...limits } = options
    this.#clock = clock
    this.#limits = limits
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** Rejects as the work does. @throws {Unavailable} when the queue is full, or the wait exceeds `longestWaitMs`. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const { mostWaiting, mostWaitingOfOne, longestWaitMs } = this.#limits
    const same = this.#queue.filter(place => place.name === name).length
    if (this.#queue.length >= mostWaiting || same >= mostWaitingOfOne) throw busy()
    const { promise: turn, resolve: begin } = Promise.withResolvers<void>()
    const place = { name, begin }
    this.#queue.push(place)
    this.#next()
    if ((await withTimeout(this.#clock, longestWaitMs, turn)) === 'timed_out' && this.#leave(place))
      throw busy()
    try {
      return await work()
    } finally {
      this.#busy.delete(name)
      this.#next()
    }
  }

  #next(): void {
    while (this.#busy.size < this.#limits.atOnce) {
      const place = this.#queue.find(({ name }) => !this.#busy.has(name))
      if (!place) return
      this.#leave(place)
      this.#busy.add(place.name)
      place.begin()
    }
  }

  /** False when it had already started. */
  #leave(place: Place): boolean {
    const length = this.#queue.length
    this.#queue = this.#queue.filter(each => each !== place)
    return this.#queue.length < length
  }
}

const busy = () => new Unavailable('Too many secrets are being checked. Retry.')
