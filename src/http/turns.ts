interface Task {
  run: () => void
  cost: number
}

/**
 * Runs tasks at the end of the turn of the event loop in which they come, at most so many in each turn, the first to come
 * first. So those of one turn run together, and however many there are, everything else has its turn in between.
 */
export class Turns {
  readonly #most: number
  readonly #waiting: Task[] = []

  /** `most`: what the tasks of a turn cost together. The last of them may cost more than is left. */
  constructor(most: number) {
    this.#most = most
  }

  /** `run` must not throw. */
  add(run: () => void, cost = 1): void {
    if (this.#waiting.push({ run, cost }) === 1) setImmediate(this.#runSome)
  }

  /** The same, before all that wait. */
  addFirst(run: () => void, cost = 1): void {
    if (this.#waiting.unshift({ run, cost }) === 1) setImmediate(this.#runSome)
  }

  readonly #runSome = (): void => {
    let left = this.#most
    let count = 0
    while (left > 0 && count < this.#waiting.length) left -= this.#waiting[count++]?.cost ?? 0
    const due = this.#waiting.splice(0, count)
    if (this.#waiting.length > 0) setImmediate(this.#runSome)
    for (const { run } of due) run()
  }
}
