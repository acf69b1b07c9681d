import { availableParallelism } from 'node:os'
import { bcryptCost, dummyBcryptHash, matchesBcrypt } from '../api-keys/imported/imported-hash.ts'
import type { SecretSnapshot } from '../directory/directory.ts'
import { Busy } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import { FairQueue, type Place } from '../system/fair-queue.ts'

/** A client_id and secret that are being checked. */
export interface Attempt {
  /** The network that the request came from, as queues group it. */
  network: string
  clientId: string
  secret: string
  /** Names the secret without revealing it. */
  digest: string
}

const LIMITS = { mostWaiting: 50, mostWaitingOfOne: 3, longestWaitMs: 3_000 }

/**
 * Runs bcrypt comparisons off the event loop, in two queues that are fair by network.
 *
 * The line is for every attempt, one comparison at a time, with a dummy hash where there is nothing to compare. The fast
 * lane, with a thread of its own, is for clients that exist and were never proven: the line delays none of them, however
 * long it is. The wrong secret of such a client still waits for its turn in the line, where it costs a dummy comparison
 * as an unknown client does. A turn that refuses takes as long as the highest cost, whatever the client's own cost is.
 */
export class Comparisons {
  readonly #line: FairQueue
  readonly #fastLane: FairQueue
  /** Comparisons in progress, by hash and digest: networks share one. */
  readonly #comparing = new Map<string, Promise<boolean>>()

  constructor({ clock }: { clock: Clock }) {
    this.#line = new FairQueue({ ...LIMITS, atOnce: 1, clock })
    // Together at most three of the four threads of Node's pool, which signs as well.
    const atOnce = Math.min(2, Math.max(1, Math.floor(availableParallelism() / 2)))
    this.#fastLane = new FairQueue({ ...LIMITS, atOnce, clock })
  }

  /**
   * Joins the line. `highestCost` is that of a dummy comparison; null: refusals cost none, so nothing waits for a turn.
   * `found` is the client as far as memory knows it.
   */
  join(attempt: Attempt, highestCost: number | null, found: SecretSnapshot | undefined): PlaceInLine {
    const queues = { line: this.#line, fastLane: this.#fastLane }
    const isRight = (hash: string) => this.#isRight(attempt, hash)
    return new PlaceInLine({ ...queues, attempt, highestCost, hash: bcryptHashOf(found), isRight })
  }

  async #isRight({ secret, digest }: Attempt, hash: string): Promise<boolean> {
    const name = `${hash} ${digest}`
    const comparing = this.#comparing.get(name) ?? matchesBcrypt(secret, hash)
    this.#comparing.set(name, comparing)
    try {
      return await comparing
    } finally {
      this.#comparing.delete(name)
    }
  }
}

/** An attempt's place in the line. */
export class PlaceInLine {
  readonly #turn: { group: string; name: string }
  readonly #secret: string
  readonly #highestCost: number | null
  readonly #isRight: (hash: string) => Promise<boolean>
  readonly #fastLane: FairQueue
  readonly #place: Place<boolean> | undefined
  #refused: Busy | undefined
  #hash: string | undefined
  #comparedInTurn = false
  #overtaking: Place<boolean> | undefined

  constructor(options: {
    line: FairQueue
    fastLane: FairQueue
    attempt: Attempt
    highestCost: number | null
    hash: string | undefined
    isRight: (hash: string) => Promise<boolean>
  }) {
    const { network, clientId, secret } = options.attempt
    this.#turn = { group: network, name: clientId }
    this.#secret = secret
    this.#highestCost = options.highestCost
    this.#hash = options.hash
    this.#isRight = options.isRight
    this.#fastLane = options.fastLane
    try {
      if (this.#highestCost !== null) this.#place = options.line.join(this.#turn, () => this.#takeTurn())
    } catch (fault) {
      if (!(fault instanceof Busy)) throw fault
      this.#refused = fault
    }
  }

  /**
   * Compares the secret with the client's bcrypt hash, in the line's turn or before. `overtakes`: the client may use the
   * fast lane. False also when neither compared it: then `turn` throws.
   */
  async compare(hash: string, { overtakes }: { overtakes: boolean }): Promise<boolean> {
    this.#hash = hash
    // A turn that has passed was used for a dummy: the client was still being looked up.
    const passed = this.#place?.begun === true && !this.#comparedInTurn
    const withoutLine = this.#highestCost === null
    if ((overtakes && !this.#comparedInTurn) || passed || withoutLine) this.#overtake(hash)
    const results = [this.#place?.result, this.#overtaking?.result].filter(result => result !== undefined)
    return anyTrue(results)
  }

  /** Resolves after the turn. @throws {Busy} when the line was full, or the turn did not come in time. */
  async turn(): Promise<void> {
    if (this.#refused) throw this.#refused
    await this.#place?.result
    // Without a line only the fast lane can be full.
    if (this.#highestCost === null) await this.#overtaking?.result
  }

  leave(): void {
    this.#place?.leave()
    this.#overtaking?.leave()
  }

  #overtake(hash: string): void {
    try {
      this.#overtaking = this.#fastLane.join(this.#turn, () => this.#isRight(hash))
    } catch (fault) {
      if (!(fault instanceof Busy)) throw fault
      // The line's turn is left.
      if (!this.#place || this.#place.begun) this.#refused = fault
    }
  }

  async #takeTurn(): Promise<boolean> {
    if (this.#hash !== undefined && this.#overtaking?.leave() !== false) {
      this.#comparedInTurn = true
      if (await this.#isRight(this.#hash)) return true
      await this.#addUpTo(bcryptCost({ scheme: 'bcrypt', hash: this.#hash }) ?? 0)
    } else await matchesBcrypt(this.#secret, dummyBcryptHash(this.#highestCost ?? 0))
    return false
  }

  /** A comparison of this cost is over. With one of each cost from it up, the time is that of one of the highest cost. */
  async #addUpTo(cost: number): Promise<void> {
    for (let next = cost; next < (this.#highestCost ?? 0); next++)
      await matchesBcrypt(this.#secret, dummyBcryptHash(next))
  }
}

/** The bcrypt hash of an imported client; undefined for any other. */
const bcryptHashOf = (found: SecretSnapshot | undefined): string | undefined =>
  found?.imported?.scheme === 'bcrypt' ? found.imported.hash : undefined

/** True as soon as one of them is; false when all are false or rejected. */
const anyTrue = (results: readonly Promise<boolean>[]): Promise<boolean> =>
  Promise.any(
    results.map(async result => {
      if (!(await result)) throw new Error('false')
    }),
  ).then(
    () => true,
    () => false,
  )
