/**
 * Runs tasks at the end of the turn of the event loop in which they come, at most so many in each turn, the first to come
 * first. So those of one turn run together, and however many there are, everything else has its turn in between.
 */
export class Turns {
  readonly #most: number
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
  }

  /** `task` must not throw. */
  add(task: () => void): void {
    if (this.#waiting.push(task) === 1) setImmediate(this.#runSome)
  }

  readonly #runSome = (): void => {
    const due = this.#waiting.splice(0, this.#most)
    if (this.#waiting.length > 0) setImmediate(this.#runSome)
    for (const task of due) task()
  }
}
