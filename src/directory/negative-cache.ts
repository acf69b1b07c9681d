import { LRUCache } from 'lru-cache'
import type { Clock } from '../system/clock.ts'
import type { SecretSnapshot } from './directory.ts'

const BELIEVED_MS = 1_000
const MOST_REMEMBERED = 10_000

/** What a secret that opens nothing was found to be: revoked, or nobody's. */
export interface NegativeEntry {
  snapshot: SecretSnapshot | undefined
}

/** Remembers for a second at the most, and not after any change, what opens nothing. */
export class NegativeCache {
  /** The least recently presented make room: a client that repeats its unknown key stays remembered through a flood of others. */
  readonly #answers: LRUCache<string, NegativeEntry>

  constructor(clock: Clock) {
    const perf = { now: () => clock.monotonicMs() }
    this.#answers = new LRUCache({ max: MOST_REMEMBERED, ttl: BELIEVED_MS, ttlResolution: 0, perf })
  }

  get size(): number {
    return this.#answers.size
  }

  find(name: string): NegativeEntry | undefined {
    return this.#answers.get(name)
  }

  note(name: string, snapshot: SecretSnapshot | undefined): void {
    this.#answers.set(name, { snapshot })
  }

  clear(): void {
    this.#answers.clear()
  }
}
