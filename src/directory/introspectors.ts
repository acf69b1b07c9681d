import { parseCredential } from '../api-keys/api-key.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import { isOver } from '../api-keys/key-state.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Introspector } from './introspector.ts'
import { readIntrospectors } from './introspector-repository.ts'

/** This replica's copy of the introspection tokens, which follows the change feed. There are few. */
export class Introspectors implements ChangeSubscriber {
  readonly kinds = ['introspector'] as const
  readonly #database: Database
  readonly #digests: KeyDigests
  readonly #isRevoked: (id: string) => boolean
  #byDigest: ReadonlyMap<string, Introspector> = new Map()

  /** `isRevoked`: whether a restored database brought it back. */
  constructor(options: { database: Database; digests: KeyDigests; isRevoked: (id: string) => boolean }) {
    this.#database = options.database
    this.#digests = options.digests
    this.#isRevoked = options.isRevoked
  }

  /** The holder of a presented token; undefined: malformed, unknown, revoked or expired. `now` in epoch milliseconds. */
  find(presented: string, now: number): Introspector | undefined {
    if (parseCredential(presented)?.prefix !== 'mmi') return undefined
    for (const digest of this.#digests.names(presented)) {
      const found = this.#byDigest.get(digest)
      if (found) return isOver(found.expiresAt, now) || this.#isRevoked(found.id) ? undefined : found
    }
    return undefined
  }

  /** All of them, for `adopt`. */
  get contents(): Introspector[] {
    return [...this.#byDigest.values()]
  }

  /** Knows these, before the first load. */
  adopt(introspectors: readonly Introspector[]): void {
    this.#replacing(introspectors)()
  }

  /** `ChangeSubscriber.load`. */
  async load(): Promise<Apply> {
    return this.#replacing(await this.#database.run(readIntrospectors))
  }

  /** `ChangeSubscriber.read`. */
  async read(trx: Handle): Promise<Apply> {
    return this.#replacing(await readIntrospectors(trx))
  }

  /** `ChangeSubscriber.forget`. */
  forget(changes: readonly { id: string }[]): void {
    const ids = new Set(changes.map(({ id }) => id))
    this.#byDigest = new Map([...this.#byDigest].filter(([, { id }]) => !ids.has(id)))
  }

  #replacing(introspectors: readonly Introspector[]): Apply {
    return () => {
      this.#byDigest = new Map(introspectors.map(each => [each.digest, each]))
    }
  }
}
