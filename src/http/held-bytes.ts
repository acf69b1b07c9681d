/** Something that holds bytes of a request. `drop` gives them up at once. */
export interface Holder {
  drop(): void
}

/**
 * Bounds the bytes that all requests of a listener hold together. Beyond the bound the oldest request that has not
 * arrived whole is dropped: an honest one arrives within milliseconds, so the oldest are those that stall.
 */
export class HeldBytes {
  readonly #limit: number
  readonly #bytes = new Map<Holder, number>()
  /** Those that have not arrived whole, oldest first. */
  readonly #arriving = new Set<Holder>()
  #total = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** The holder now holds this many bytes in all. May drop any that is still arriving, this one too. */
  hold(holder: Holder, bytes: number): void {
    this.#total += bytes - (this.#bytes.get(holder) ?? 0)
    this.#bytes.set(holder, bytes)
    this.#arriving.add(holder)
    for (const oldest of this.#arriving) {
      if (this.#total <= this.#limit) return
      this.release(oldest)
      oldest.drop()
    }
  }

  /** It has arrived whole: it is no longer dropped, and its bytes count until `release`. */
  arrived(holder: Holder): void {
    this.#arriving.delete(holder)
  }

  release(holder: Holder): void {
    this.#total -= this.#bytes.get(holder) ?? 0
    this.#bytes.delete(holder)
    this.#arriving.delete(holder)
  }
}
