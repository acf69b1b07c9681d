import type { Database } from '../database/database.ts'
import type { Clock } from '../system/clock.ts'
import { Coalescer } from '../system/coalescer.ts'
import type { NamedKey } from '../system/secret.ts'
import { withTimeout } from '../system/timeout.ts'
import { WriteBuffer } from '../system/write-buffer.ts'
import {
  addUsage,
  type LastUse,
  type Redigest,
  type UsageCount,
  writeLastUses,
  writeRedigests,
} from './deferred-repository.ts'

/** Of each kind. */
const ROOM = 100_000
const LONGEST_GOODBYE_MS = 1_000
const DAY_MS = 86_400_000

/**
 * What an exchange leaves behind without waiting for it: the last use of a secret, counts per key and day, and digests
 * under the pepper in use. It is collected in memory, merged, and written every few seconds in bounded batches. A
 * process that dies loses what was not written yet; counts of a batch whose COMMIT was not answered may be added twice.
 */
export class DeferredWrites {
  readonly #clock: Clock
  readonly #uses: WriteBuffer<LastUse>
  readonly #redigests: WriteBuffer<Redigest>
  readonly #counts: WriteBuffer<UsageCount>
  readonly #writes = new Coalescer(() => this.#write())

  /** `pepper` is the one that new digests are made under; `redigested` is told of each digest that was replaced. */
  constructor(options: {
    database: Database
    clock: Clock
    pepper: NamedKey
    redigested: (from: string, to: string) => void
  }) {
    const { database, clock, pepper, redigested } = options
    this.#clock = clock
    this.#uses = new WriteBuffer({
      room: ROOM,
      name: use => use.secretId,
      merge: (_older, newer) => newer,
      write: uses => database.write(trx => writeLastUses(trx, uses)),
    })
    this.#redigests = new WriteBuffer({
      room: ROOM,
      name: each => each.secretId,
      merge: (_older, newer) => newer,
      write: async redigests => {
        const { done, held } = await database.write(trx => writeRedigests(trx, { pepper, redigests }))
        for (const { from, to } of done) redigested(from, to)
        return held
      },
    })
    this.#counts = new WriteBuffer({
      room: ROOM,
      name: ({ keyId, day, outcome }) => `${keyId} ${day} ${outcome}`,
      merge: (older, newer) => ({ ...newer, count: older.count + newer.count }),
      write: counts => database.write(trx => addUsage(trx, counts)),
    })
  }

  /** How many were lost for want of room. */
  get dropped(): number {
    return this.#uses.dropped + this.#redigests.dropped + this.#counts.dropped
  }

  get waiting(): number {
    return this.#uses.size + this.#redigests.size + this.#counts.size
  }

  /** The secret was right. `at` in epoch milliseconds. */
  used(secretId: string, at: number): void {
    this.#uses.add({ secretId, at })
  }

  /** One more of `outcome`: `exchanged`, or why the key was refused. `at` in epoch milliseconds. */
  count(keyId: string, outcome: string, at: number): void {
    this.#counts.add({ keyId, outcome, day: Math.floor(at / DAY_MS), count: 1 })
  }

  /** The secret was found by `from`, which is not its digest under `pepper`: that is `to`. Both in base64. */
  redigest(secretId: string, from: string, to: string): void {
    this.#redigests.add({ secretId, from, to })
  }

  /** Writes what waits; what cannot be written waits for the next time. @throws {Unavailable} */
  flush(): Promise<void> {
    return this.#writes.run()
  }

  /** Before the end: as much as a second allows. Never throws. */
  async drain(): Promise<void> {
    const drained = this.#drain().catch(() => {})
    await withTimeout(this.#clock, LONGEST_GOODBYE_MS, drained)
  }

  async #drain(): Promise<void> {
    let before = Number.POSITIVE_INFINITY
    while (this.waiting > 0 && this.waiting < before) {
      before = this.waiting
      await this.flush()
    }
  }

  async #write(): Promise<void> {
    await this.#uses.flush()
    await this.#redigests.flush()
    await this.#counts.flush()
  }
}
