import type { ChangeFollower } from '../database/change-follower.ts'
import type { ChangeUpdate } from '../database/change-subscriber.ts'
import type { Database } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import { checksOf, type SecretChecks } from '../installation/installation-secrets.ts'
import type { Clock } from '../system/clock.ts'
import type { NamedKey } from '../system/secret.ts'
import { withTimeout } from '../system/timeout.ts'
import { ChangedObjects } from './changed-objects.ts'
import { isRevoked, type SecretSnapshot } from './directory.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import { type LookedUp, lookUpSecrets } from './directory-repository.ts'
import { NegativeCache } from './negative-cache.ts'

const TICK_MS = 20
const MOST_A_QUERY = 500
const MOST_WAITING = 2_000
/** So that whoever asked is answered within the second. */
const LONGEST_WAIT_MS = 850
/** An answer that took longer is believed only after a poll has shown what was committed meanwhile. */
const SLOW_ANSWER_MS = 200
const MOST_TRIES = 3

/** One secret that is asked for, by however many. */
interface Question {
  digests: readonly string[]
  answer: Promise<SecretSnapshot | undefined>
  resolve(snapshot: SecretSnapshot | undefined): void
  reject(error: unknown): void
  tries: number
}

/** How often what happened, since the start. */
export interface FallbackCounts {
  queries: number
  found: number
  unknown: number
  /** Answered from memory: nobody had it a moment ago. */
  cached: number
  /** No room to wait, no answer in time, or no database. */
  failed: number
}

/**
 * Looks up in Postgres what the directory does not know: a key made a moment ago through another replica, one beyond
 * the bound, or nobody's. However many ask, one query is under way at a time, at least 20 ms after the one before.
 */
export class SecretLookup {
  readonly #database: Database
  readonly #follower: ChangeFollower
  readonly #copy: DirectoryCopy
  readonly #clock: Clock
  readonly #pepperChecks: SecretChecks
  readonly #tokenTtlSeconds: number
  readonly #stopped = new AbortController()
  /** Not asked yet, by their digests. */
  readonly #questions = new Map<string, Question>()
  readonly #negatives: NegativeCache
  #waiting = 0
  #working = false
  #asked = Number.NEGATIVE_INFINITY
  /** What was applied to the directory since the query under way began; undefined: none is under way. */
  #since: ChangeUpdate[] | undefined
  readonly counts: FallbackCounts = { queries: 0, found: 0, unknown: 0, cached: 0, failed: 0 }

  constructor(options: {
    database: Database
    follower: ChangeFollower
    copy: DirectoryCopy
    clock: Clock
    peppers: readonly NamedKey[]
    tokenTtlSeconds: number
  }) {
    this.#database = options.database
    this.#follower = options.follower
    this.#copy = options.copy
    this.#clock = options.clock
    this.#negatives = new NegativeCache(options.clock)
    this.#pepperChecks = checksOf(options.peppers)
    this.#tokenTtlSeconds = options.tokenTtlSeconds
  }

  /** The directory was updated: nothing that was looked up before is believed any more. */
  note(update: ChangeUpdate): void {
    this.#negatives.clear()
    this.#since?.push(update)
  }

  /**
   * By digests in base64.
   * @throws {Unavailable} when there is no room to wait, the database does not answer in time, or this process lacks
   *   a pepper that the key may be under: then it is not unknown.
   */
  async find(digests: readonly string[]): Promise<SecretSnapshot | undefined> {
    const name = digests.join()
    const negative = this.#negatives.find(name)
    if (negative) {
      this.counts.cached++
      return negative.snapshot
    }
    try {
      return await this.#wait(name, digests)
    } catch (error) {
      this.counts.failed++
      throw error
    }
  }

  /** Keys that are remembered to open nothing. */
  get negatives(): number {
    return this.#negatives.size
  }

  /** Requests that wait for an answer. */
  get waiting(): number {
    return this.#waiting
  }

  stop(): void {
    this.#stopped.abort()
    this.#failAll([...this.#questions.values()], new Unavailable('The service is stopping. Retry.'))
  }

  async #wait(name: string, digests: readonly string[]): Promise<SecretSnapshot | undefined> {
    if (this.#waiting >= MOST_WAITING)
      throw new Unavailable('Too many lookups of unknown keys are waiting. Retry.')
    const question = this.#questions.get(name) ?? newQuestion(digests)
    this.#questions.set(name, question)
    if (!this.#working) void this.#work()
    this.#waiting++
    try {
      const answer = await withTimeout(this.#clock, LONGEST_WAIT_MS, question.answer)
      if (answer === 'timed_out') throw new Unavailable('The lookup of the API key timed out. Retry.')
      return answer
    } finally {
      this.#waiting--
    }
  }

  /** Asks as long as there are questions. */
  async #work(): Promise<void> {
    this.#working = true
    while (this.#questions.size > 0 && !this.#stopped.signal.aborted) {
      const rest = this.#asked + TICK_MS - this.#clock.monotonicMs()
      if (rest > 0) await this.#clock.sleep(rest, this.#stopped.signal)
      await this.#ask(this.#takeBatch())
    }
    this.#working = false
  }

  #takeBatch(): Question[] {
    const batch: Question[] = []
    let digests = 0
    for (const [name, question] of this.#questions) {
      digests += question.digests.length
      if (digests > MOST_A_QUERY && batch.length > 0) break
      batch.push(question)
      this.#questions.delete(name)
    }
    return batch
  }

  async #ask(batch: readonly Question[]): Promise<void> {
    const since: ChangeUpdate[] = []
    this.#since = since
    this.#asked = this.#clock.monotonicMs()
    this.counts.queries++
    const digests = batch.flatMap(question => question.digests)
    try {
      const { found, pepperChecks } = await this.#database.run(db =>
        lookUpSecrets(db, digests, this.#tokenTtlSeconds),
      )
      if (this.#clock.monotonicMs() - this.#asked > SLOW_ANSWER_MS) await this.#follower.poll()
      const lacking = Object.keys(pepperChecks).filter(id => this.#pepperChecks[id] !== pepperChecks[id])
      const byDigest = new Map(found.map(each => [each.digest, each]))
      const changed = new ChangedObjects(since)
      for (const question of batch) {
        const digest = question.digests.find(each => byDigest.has(each))
        const hit = digest === undefined ? undefined : byDigest.get(digest)
        if (!hit) this.#answerUnknown(question, lacking)
        else if (changed.affect(hit.snapshot)) this.#askAgain(question)
        else this.#answerFound(question, hit)
      }
    } catch (error) {
      // Whoever waits for the next query would wait for the same fault.
      this.#failAll([...batch, ...this.#questions.values()], error)
    } finally {
      this.#since = undefined
    }
  }

  #answerFound(question: Question, { snapshot, key }: LookedUp): void {
    if (isRevoked(snapshot)) this.#noteNegative(question, snapshot)
    else if (key) this.#copy.remember(key)
    this.counts.found++
    question.resolve(snapshot)
  }

  #answerUnknown(question: Question, lacking: readonly string[]): void {
    if (lacking.length === 0) {
      this.#noteNegative(question, undefined)
      this.counts.unknown++
      question.resolve(undefined)
      return
    }
    // A key made under a pepper that only other replicas hold is not unknown: we are the ones that lack something.
    const cause = new Error(
      `MINTMARK_PEPPERS lacks ${lacking.join(', ')}, which the installation record names`,
    )
    question.reject(new Unavailable('This replica cannot check API keys. Retry.', { cause }))
  }

  /** The directory learnt of a change to this key while the query was under way, and the answer may be from before it. */
  #askAgain(question: Question): void {
    question.tries++
    if (question.tries >= MOST_TRIES) {
      question.reject(new Unavailable('The API key changed while it was read. Retry.'))
      return
    }
    const name = question.digests.join()
    const other = this.#questions.get(name)
    if (other) other.answer.then(question.resolve, question.reject)
    else this.#questions.set(name, question)
  }

  #noteNegative(question: Question, snapshot: SecretSnapshot | undefined): void {
    if (!this.#since || this.#since.length > 0) return
    this.#negatives.note(question.digests.join(), snapshot)
  }

  #failAll(questions: readonly Question[], error: unknown): void {
    this.#questions.clear()
    for (const question of questions) question.reject(error)
  }
}

function newQuestion(digests: readonly string[]): Question {
  const { promise, resolve, reject } = Promise.withResolvers<SecretSnapshot | undefined>()
  return { digests, answer: promise, resolve, reject, tries: 0 }
}
