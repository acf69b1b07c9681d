import { Busy } from '../errors.ts'
import type { Clock } from './clock.ts'

/** What decides the turn of a task: tasks of one `group` share one turn, and one task per `name` runs at a time. */
export interface Turn {
  group: string
  name: string
}

/** A task in the queue. */
export interface Place<T> {
  /** Rejects as the task does. @throws {Busy} when the task lost its place, or waited for too long. */
  readonly result: Promise<T>
  /** The task has begun. */
  readonly begun: boolean
  /** Removes a task that has not begun. False: it has begun. */
  leave(): boolean
}

interface Waiting {
  turn: Turn
  begin(): void
  refuse(): void
}

interface Limits {
  /** Number of tasks that run at once. */
  atOnce: number
  /** Number of waiting tasks, and of those with one group and name. */
  mostWaiting: number
  mostWaitingOfOne: number
  longestWaitMs: number
}

/**
 * A bounded queue for expensive work, fair between groups: each group in turn starts one task. When the queue is full,
 * the newest task of the group with the most waiting tasks loses its place to a group with fewer, so a group that
 * floods the queue refuses only itself.
 */
export class FairQueue {
  readonly #limits: Limits
  readonly #clock: Clock
  /** The group at the beginning has the next turn. No group is empty. */
  readonly #groups = new Map<string, Waiting[]>()
  readonly #running = new Set<string>()
  #atWork = 0
  #waiting = 0

  constructor(options: Limits & { clock: Clock }) {
    const { clock, ...limits } = options
    this.#clock = clock
    this.#limits = limits
  }

  get waiting(): number {
    return this.#waiting
  }

  /** @throws {Busy} when the queue is full of tasks of this group, or of as many groups as it has places. */
  join<T>(turn: Turn, task: () => Promise<T>): Place<T> {
    const own = this.#groups.get(turn.group) ?? []
    const same = own.filter(each => each.turn.name === turn.name).length
    if (same >= this.#limits.mostWaitingOfOne) throw busy()
    if (this.#waiting >= this.#limits.mostWaiting) this.#makeRoom(own.length)
    const { promise: result, resolve, reject } = Promise.withResolvers<T>()
    // A place may be left before anything awaits its result.
    result.catch(() => {})
    const waited = new AbortController()
    const waiting: Waiting = {
      turn,
      begin: () => {
        waited.abort()
        place.begun = true
        void this.#run(turn, task).then(resolve, reject)
      },
      refuse: () => {
        waited.abort()
        reject(busy())
      },
    }
    const place = { result, begun: false, leave: () => place.begun === false && this.#leave(waiting) }
    this.#groups.set(turn.group, [...own, waiting])
    this.#waiting++
    void this.#clock.sleep(this.#limits.longestWaitMs, waited.signal).then(() => {
      if (!waited.signal.aborted) this.#leave(waiting)
    })
    this.#startNext()
    return place
  }

  async #run<T>({ group, name }: Turn, task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } finally {
      // A group that joined meanwhile waits for this task only.
      this.#moveToEnd(group)
      this.#running.delete(name)
      this.#atWork--
      this.#startNext()
    }
  }

  #startNext(): void {
    while (this.#atWork < this.#limits.atOnce) {
      const next = this.#next()
      if (!next) return
      this.#remove(next)
      const { group, name } = next.turn
      this.#moveToEnd(group)
      this.#atWork++
      this.#running.add(name)
      next.begin()
    }
  }

  /** The next turn is the other groups'. */
  #moveToEnd(group: string): void {
    const rest = this.#groups.get(group)
    if (!rest) return
    this.#groups.delete(group)
    this.#groups.set(group, rest)
  }

  #next(): Waiting | undefined {
    for (const group of this.#groups.values()) {
      const free = group.find(({ turn }) => !this.#running.has(turn.name))
      if (free) return free
    }
    return undefined
  }

  /** @throws {Busy} unless another group has at least two tasks more than `own`. */
  #makeRoom(own: number): void {
    let longest: Waiting[] = []
    for (const group of this.#groups.values()) if (group.length > longest.length) longest = group
    const newest = longest.at(-1)
    if (!newest || longest.length < own + 2) throw busy()
    this.#leave(newest)
  }

  #leave(waiting: Waiting): boolean {
    this.#remove(waiting)
    waiting.refuse()
    return true
  }

  #remove(waiting: Waiting): void {
    const { group } = waiting.turn
    const before = this.#groups.get(group) ?? []
    const after = before.filter(each => each !== waiting)
    this.#waiting -= before.length - after.length
    if (after.length === 0) this.#groups.delete(group)
    else this.#groups.set(group, after)
  }
}

const busy = () => new Busy('Too many secrets are being checked. Retry.')
