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

  /** `most`: what the tasks of a turn cost together. The last of them may cost more than is left. */
  constructor(most: number) {
    this.#most = most
  }

  /** `run` must not throw. */
  add(run: () => void, cost = 1, group = ''): void {
    if (this.#waiting.size === 0) setImmediate(this.#runSome)
    const same = this.#waiting.get(group)
    if (same) same.push({ run, cost })
    else this.#waiting.set(group, [{ run, cost }])
  }

  /** The same, before all that wait. */
  addFirst(run: () => void, cost = 1): void {
    if (this.#waiting.unshift({ run, cost }) === 1) setImmediate(this.#runSome)
  }

  readonly #runSome = (): void => {
    const due = this.#next()
    if (this.#waiting.size > 0) setImmediate(this.#runSome)
    for (const { run } of due) run()
  }

  #next(): Task[] {
    const due: Task[] = []
    let left = this.#most
    // A group that has more is visited again after all others.
    for (const [group, tasks] of this.#waiting) {
      if (left <= 0) break
      const task = tasks.shift()
      this.#waiting.delete(group)
      if (tasks.length > 0) this.#waiting.set(group, tasks)
      if (!task) continue
      due.push(task)
      left -= task.cost
    }
    return due
  }
}
