interface Task {
  run: () => void
  cost: number
}

/**
 * Runs tasks at the end of the turn of the event loop in which they come, at most so many in each turn. So those of one turn run
 * together, and however many there are, everything else has its turn in between. Groups alternate, and within a group the first to
 * come is the first: a task does not wait for those of other groups that came before it, but for one of each.
 */
export class Turns {
  readonly #most: number
  /** By group, the one that is next first. None is empty. */
  readonly #waiting = new Map<string, Task[]>()
  readonly #first: Task[] = []

  /** `most`: what the tasks of a turn cost together. The last of them may cost more than is left. */
  constructor(most: number) {
    this.#most = most
  }

  /** `run` must not throw. */
  add(run: () => void, cost = 1, group = ''): void {
    if (this.#isEmpty) setImmediate(this.#runSome)
    const same = this.#waiting.get(group)
    if (same) same.push({ run, cost })
    else this.#waiting.set(group, [{ run, cost }])
  }

  /** The same, before all that wait. */
  addFirst(run: () => void, cost = 1): void {
    if (this.#isEmpty) setImmediate(this.#runSome)
    this.#first.unshift({ run, cost })
  }

  readonly #runSome = (): void => {
    const due = this.#next()
    if (!this.#isEmpty) setImmediate(this.#runSome)
    for (const { run } of due) run()
  }

  get #isEmpty(): boolean {
    return this.#first.length === 0 && this.#waiting.size === 0
  }

  #next(): Task[] {
    const due: Task[] = []
    let left = this.#most
    const take = (task: Task | undefined) => {
      if (!task) return
      due.push(task)
      left -= task.cost
    }
    while (left > 0 && this.#first.length > 0) take(this.#first.shift())
    // A group that has more is visited again after all others.
    for (const [group, tasks] of this.#waiting) {
      if (left <= 0) break
      take(tasks.shift())
      this.#waiting.delete(group)
      if (tasks.length > 0) this.#waiting.set(group, tasks)
    }
    return due
  }
}
