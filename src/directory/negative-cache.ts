import { LRUCache } from 'lru-cache'
import type { Clock } from '../system/clock.ts'
import type { SecretSnapshot } from './directory.ts'

const BELIEVED_MS = 1_000
const MOST_REMEMBERED = 10_000

/** Why a secret is unusable: it is revoked or unknown. */
export interface NegativeEntry {
  snapshot: SecretSnapshot | undefined
}

/** Remembers unusable secrets for at most a second, and only until the next change. */
export class NegativeCache {
  /**
   * Least recently used entries are evicted: a client that repeats its unknown key stays remembered during a flood of
   * others.
   */
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
