import type { Database } from '../database/database.ts'
import type { Clock } from '../system/clock.ts'
import { Coalescer } from '../system/coalescer.ts'
import type { NamedKey } from '../system/secret.ts'
import { withTimeout } from '../system/timeout.ts'
import { WriteBuffer } from '../system/write-buffer.ts'
import {
  addUsage,
  type LastUse,
  type Proof,
  type Redigest,
  type UsageCount,
  writeLastUses,
  writeProofs,
  writeRedigests,
} from './deferred-repository.ts'

/** Maximum number of entries of each kind. */
const ROOM = 100_000
const LONGEST_GOODBYE_MS = 1_000
const DAY_MS = 86_400_000

/**
 * Writes that an exchange does not wait for: the last use of a secret, counts per key and day, digests under the
 * current pepper, and proofs of imported secrets. They are collected in memory, merged, and written every few seconds in bounded batches. A process
 * that crashes loses what it has not written; counts of a batch whose COMMIT was not answered may be added twice.
 */
export class DeferredWrites {
  readonly #clock: Clock
  readonly #uses: WriteBuffer<LastUse>
  readonly #redigests: WriteBuffer<Redigest>
  readonly #counts: WriteBuffer<UsageCount>
  readonly #proofs: WriteBuffer<Proof>
  readonly #writes = new Coalescer(() => this.#write())

  /** `pepper` is used for new digests; `redigested` is called for each digest that was replaced. */
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
    this.#proofs = new WriteBuffer({
      room: ROOM,
      name: proof => proof.secretId,
      merge: (_older, newer) => newer,
      write: proofs => database.write(trx => writeProofs(trx, { pepper, proofs })),
    })
    this.#counts = new WriteBuffer({
      room: ROOM,
      name: ({ keyId, day, outcome }) => `${keyId} ${day} ${outcome}`,
      merge: (older, newer) => ({ ...newer, count: older.count + newer.count }),
      write: counts => database.write(trx => addUsage(trx, counts)),
    })
  }

  /** Number of writes dropped because the buffer was full. */
  get dropped(): number {
    return this.#uses.dropped + this.#redigests.dropped + this.#proofs.dropped + this.#counts.dropped
  }

  get waiting(): number {
    return this.#uses.size + this.#redigests.size + this.#proofs.size + this.#counts.size
  }

  /** Records a successful use of the secret. `at` in epoch milliseconds. */
  used(secretId: string, at: number): void {
    this.#uses.add({ secretId, at })
  }

  /** Adds one to `outcome`: `exchanged`, or why the key was rejected. `at` in epoch milliseconds. */
  count(keyId: string, outcome: string, at: number): void {
    this.#counts.add({ keyId, outcome, day: Math.floor(at / DAY_MS), count: 1 })
  }

  /** Schedules the replacement of digest `from` by `to`, its digest under `pepper`. Both in base64. */
  redigest(secretId: string, from: string, to: string): void {
    this.#redigests.add({ secretId, from, to })
  }

  /** Schedules the storage of a proof. */
  proven(proof: Proof): void {
    this.#proofs.add(proof)
  }

  /** Writes what is buffered; writes that fail stay in the buffer. @throws {Unavailable} */
  flush(): Promise<void> {
    return this.#writes.run()
  }

  /** Writes as much as possible within a second, at shutdown. Never throws. */
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
    await this.#proofs.flush()
    await this.#counts.flush()
  }
}
