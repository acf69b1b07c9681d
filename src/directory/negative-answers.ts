import type { SecretSnapshot } from './directory.ts'

const BELIEVED_MS = 1_000
const MOST_REMEMBERED = 10_000

/** What a secret that opens nothing was found to be: revoked, or nobody's. */
export interface NegativeAnswer {
  snapshot: SecretSnapshot | undefined
}

/** Remembers for a second at the most, and not after any change, what opens nothing. `now` in monotonic milliseconds. */
export class NegativeAnswers {
  /** Oldest first. */
  readonly #answers = new Map<string, NegativeAnswer & { until: number }>()

  get size(): number {
    return this.#answers.size
  }

  find(name: string, now: number): NegativeAnswer | undefined {
    const answer = this.#answers.get(name)
    return answer && answer.until > now ? answer : undefined
  }

  note(name: string, snapshot: SecretSnapshot | undefined, now: number): void {
    this.#answers.delete(name)
    for (const [oldest, { until }] of this.#answers) {
      if (until > now && this.#answers.size < MOST_REMEMBERED) break
      this.#answers.delete(oldest)
    }
    this.#answers.set(name, { snapshot, until: now + BELIEVED_MS })
  }

  clear(): void {
    this.#answers.clear()
  }
}
