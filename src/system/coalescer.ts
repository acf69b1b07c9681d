/**
 * Runs repeated work one run at a time. `run` resolves with a run that started after the call, so the run sees
 * everything from before the call. Calls made during a run share the next one.
 */
export class Coalescer {
  readonly #work: () => Promise<void>
  #running: Promise<void> | undefined
  #queued: Promise<void> | undefined

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  /** Rejects as the work does. */
  run(): Promise<void> {
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
