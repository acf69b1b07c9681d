import { Unavailable } from '../errors.ts'
import type { Clock } from './clock.ts'
import { inTime } from './deadline.ts'

interface Place {
  name: string
  begin(): void
}

/**
 * Work that costs much: of one name one piece at a time, few at once over all, and a queue with an end, so that a
 * flood is refused rather than piled up.
 */
export class Lanes {
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

  /** @throws {Unavailable} when there is no room to wait, or its turn does not come in time. Rejects as the work does. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const { mostWaiting, mostWaitingOfOne, longestWaitMs } = this.#limits
    const same = this.#queue.filter(place => place.name === name).length
    if (this.#queue.length >= mostWaiting || same >= mostWaitingOfOne) throw busy()
    const { promise: turn, resolve: begin } = Promise.withResolvers<void>()
    const place = { name, begin }
    this.#queue.push(place)
    this.#next()
    if ((await inTime(this.#clock, longestWaitMs, turn)) === 'late' && this.#leave(place)) throw busy()
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

  /** False when its turn had come. */
  #leave(place: Place): boolean {
    const length = this.#queue.length
    this.#queue = this.#queue.filter(each => each !== place)
    return this.#queue.length < length
  }
}

const busy = () => new Unavailable('Too many secrets are being checked. Try again.')
