/** Bounds one flush, however much is buffered. */
const MOST_A_FLUSH = 10_000
const MOST_A_BATCH = 1_000

/**
 * A write-behind buffer: items of one name are merged until they are written. It holds at most `room` items; more are
 * dropped and counted, because `add` never waits.
 */
export class WriteBuffer<T> {
  readonly #room: number
  readonly #name: (item: T) => string
  readonly #merge: (older: T, newer: T) => T
  readonly #write: (batch: T[]) => Promise<readonly T[]>
  readonly #items = new Map<string, T>()
  dropped = 0

  /** `write` returns the items of its batch that could not be written now, and rejects when none could. */
  constructor(options: {
    room: number
    name: (item: T) => string
    merge: (older: T, newer: T) => T
    write: (batch: T[]) => Promise<readonly T[]>
  }) {
    this.#room = options.room
    this.#name = options.name
    this.#merge = options.merge
    this.#write = options.write
  }

  get size(): number {
    return this.#items.size
  }

  add(item: T): void {
    const name = this.#name(item)
    const older = this.#items.get(name)
    if (older !== undefined) this.#items.set(name, this.#merge(older, item))
    else if (this.#items.size < this.#room) this.#items.set(name, item)
    else this.dropped++
  }

  /** Writes the buffered items, up to the bound of one flush. What cannot be written stays buffered. */
  async flush(): Promise<void> {
    const left: T[] = []
    const end = Math.min(this.#items.size, MOST_A_FLUSH)
    for (let written = 0; written < end; written += MOST_A_BATCH) {
      const batch = this.#take()
      try {
        left.push(...(await this.#write(batch)))
      } catch (error) {
        this.#putBack([...left, ...batch])
        throw error
      }
    }
    this.#putBack(left)
  }

  #take(): T[] {
    const batch: T[] = []
    for (const [name, item] of this.#items) {
      if (batch.length === MOST_A_BATCH) break
      batch.push(item)
      this.#items.delete(name)
    }
    return batch
  }

  /** Items added during the write are newer. */
  #putBack(items: readonly T[]): void {
    for (const item of items) {
      const newer = this.#items.get(this.#name(item))
      if (newer === undefined) this.add(item)
      else this.#items.set(this.#name(item), this.#merge(item, newer))
    }
  }
}
