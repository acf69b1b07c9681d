import { createHmac, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { LRUCache } from 'lru-cache'
import { IMPORTED_CLIENT_ID } from '../api-keys/imported-client.ts'
import { dummyBcryptHash, matchesBcrypt, matchesSha256 } from '../api-keys/imported-hash.ts'
import { type Directory, isRevoked, type SecretSnapshot } from '../directory/directory.ts'
import type { Clock } from '../system/clock.ts'
import type { FailureLimit } from '../system/failure-limit.ts'
import { KeyedQueue } from '../system/keyed-queue.ts'
import type { Random } from '../system/random.ts'

/** Result of checking an imported client_id and secret. */
export type CheckedSecret =
  | { kind: 'right' | 'wrong' | 'revoked'; found: SecretSnapshot }
  | { kind: 'unknown' }
  | { kind: 'rate_limited'; retryAfterSeconds: number }

const COMPARISONS = { mostWaiting: 50, mostWaitingOfOne: 3, longestWaitMs: 3_000 }
/** Half of the processors and of the thread pool, which signs as well. */
const comparisonsAtOnce = () => Math.min(2, Math.max(1, Math.floor(availableParallelism() / 2)))

/**
 * Longer than a lookup in Postgres takes; otherwise timing would reveal unknown clients of schemes that are fast to
 * compare.
 */
const REFUSED_AFTER_MS = 50

const MOST_REMEMBERED = 10_000

/**
 * Checks secrets that were imported as hashes. A bcrypt comparison costs 100 ms of CPU, so it runs in a bounded queue,
 * after the failure limit, and equally for unknown clients and wrong secrets of any scheme. A correct secret is
 * remembered as a digest under a key of this process, for as long as the client keeps that hash.
 */
export class ImportedSecrets {
  readonly #directory: Directory
  readonly #failures: FailureLimit
  readonly #comparisons: KeyedQueue
  readonly #clock: Clock
  readonly #ownKey: Buffer
  /** By secret id. Least recently presented entries are evicted. */
  readonly #remembered = new LRUCache<string, { hash: string; digest: Buffer }>({ max: MOST_REMEMBERED })
  /** Comparisons in progress, by client and digest. */
  readonly #comparing = new Map<string, Promise<boolean>>()

  constructor(options: { directory: Directory; failures: FailureLimit; clock: Clock; random: Random }) {
    this.#directory = options.directory
    this.#failures = options.failures
    this.#clock = options.clock
    this.#comparisons = new KeyedQueue({ ...COMPARISONS, atOnce: comparisonsAtOnce(), clock: options.clock })
    this.#ownKey = options.random.bytes(32)
  }

  /** @throws {Unavailable} when the queue is full or the lookup of the client fails. */
  async check(clientId: string, secret: string, source: string | undefined): Promise<CheckedSecret> {
    if (!this.#directory.imports || !IMPORTED_CLIENT_ID.test(clientId)) return { kind: 'unknown' }
    const found = this.#directory.findClient(clientId)
    if (found && this.#remembers(found, secret)) return { kind: 'right', found }
    const allowance = await this.#failures.take(source)
    if (!allowance.granted) return { kind: 'rate_limited', retryAfterSeconds: allowance.retryAfterSeconds }
    const started = this.#clock.monotonicMs()
    try {
      const checked = await this.#checkUncached(clientId, secret, found)
      if (checked.kind === 'right') allowance.giveBack()
      else await this.#clock.sleep(Math.max(0, started + REFUSED_AFTER_MS - this.#clock.monotonicMs()))
      return checked
    } catch (fault) {
      allowance.giveBack()
      throw fault
    }
  }

  async #checkUncached(
    clientId: string,
    secret: string,
    found: SecretSnapshot | undefined,
  ): Promise<CheckedSecret> {
    const known = found ?? (await this.#lookUp(clientId, secret))
    if (!known) return { kind: 'unknown' }
    // An unknown client and a revoked one have both cost one comparison by now; a second one would distinguish them.
    if (isRevoked(known)) return { kind: 'revoked', found: known }
    return { kind: (await this.#compare(clientId, known, secret)) ? 'right' : 'wrong', found: known }
  }

  /** Looks up a client that this replica does not know. Takes as long as a comparison, whatever the result. */
  async #lookUp(clientId: string, secret: string): Promise<SecretSnapshot | undefined> {
    const [found] = await Promise.all([
      this.#directory.lookUpClient(clientId),
      this.#compareNothing(clientId, secret),
    ])
    return found
  }

  async #compare(clientId: string, found: SecretSnapshot, secret: string): Promise<boolean> {
    const digest = this.#digest(secret)
    const right = await this.#isRight(clientId, found, secret, digest)
    if (right) this.#remember(found, digest)
    // A bcrypt hash has already been compared.
    else if (found.imported?.scheme !== 'bcrypt') await this.#compareNothing(clientId, secret)
    return right
  }

  async #isRight(clientId: string, found: SecretSnapshot, secret: string, digest: Buffer): Promise<boolean> {
    if (!found.imported) return false
    const { scheme, hash } = found.imported
    if (scheme === 'sha256') return matchesSha256(secret, hash)
    const name = `${found.secretId} ${hash} ${digest.toString('base64')}`
    const comparing =
      this.#comparing.get(name) ?? this.#comparisons.run(clientId, () => matchesBcrypt(secret, hash))
    this.#comparing.set(name, comparing)
    try {
      return await comparing
    } finally {
      this.#comparing.delete(name)
    }
  }

  async #compareNothing(clientId: string, secret: string): Promise<void> {
    const cost = this.#directory.imports?.commonCost
    if (cost === null || cost === undefined) return
    await this.#comparisons.run(clientId, () => matchesBcrypt(secret, dummyBcryptHash(cost)))
  }

  #remembers({ secretId, imported }: SecretSnapshot, secret: string): boolean {
    const known = this.#remembered.get(secretId)
    return (
      known?.hash === imported?.hash &&
      known !== undefined &&
      timingSafeEqual(known.digest, this.#digest(secret))
    )
  }

  #remember({ secretId, imported }: SecretSnapshot, digest: Buffer): void {
    if (!imported) return
    this.#remembered.set(secretId, { hash: imported.hash, digest })
  }

  #digest(secret: string): Buffer {
    return createHmac('sha256', this.#ownKey).update(secret).digest()
  }
}
