/**
 * Work that is done again and again, one round at a time. `next` completes with a round that began after the call, so
 * that whoever calls it knows that the round saw what was there before; all who call during a round share the next.
 */
export class Rounds {
  readonly #work: () => Promise<void>
  #running: Promise<void> | undefined
  #queued: Promise<void> | undefined

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  /** Rejects as the round does. */
  next(): Promise<void> {
    if (this.#queued !== undefined) return this.#queued
    if (this.#running === undefined) return this.#begin()
    const begin = () => {
      this.#queued = undefined
      return this.#begin()
    }
    this.#queued = this.#running.then(begin, begin)
    return this.#queued
  }

  #begin(): Promise<void> {
    this.#running = this.#work().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }
}
