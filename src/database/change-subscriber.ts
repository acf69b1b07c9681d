import type { Change } from './change.ts'
import type { Handle } from './database.ts'

/** The applied changes, or `everything` after a full load. */
export type ChangeUpdate = readonly Change[] | 'everything'

/** Applies what was read. Synchronous, so that no request sees a part of an update. */
export type Apply = () => void

/**
 * A part of this process that caches data from the database. `ChangeFollower` calls it; data that it reads takes effect
 * only through the returned `Apply`.
 */
export interface ChangeSubscriber {
  /** The kinds of change that it reads; default: all. It is not notified of others. */
  readonly kinds?: readonly Change['kind'][]
  /**
   * Reads everything. Changes that are committed during the load go through `read` as usual and are newer than what is
   * read here. @throws {Unavailable} when `signal` aborts, or the database does not answer.
   */
  load(signal: AbortSignal): Promise<Apply>
  /** Reads the objects that `changes` name, each once, in the snapshot of `trx`. */
  read(trx: Handle, changes: readonly Change[]): Promise<Apply>
  /** This process changed these objects and cannot read them now: they must not be used until `read` has read them. */
  forget(changes: readonly Change[]): void
}

/** A subscriber that reads nothing from the feed: it drops cached values or starts a read of its own. */
export function reaction(
  react: (update: ChangeUpdate) => void,
  kinds?: readonly Change['kind'][],
): ChangeSubscriber {
  return {
    ...(kinds && { kinds }),
    load: async () => () => react('everything'),
    read: async (_trx, changes) => () => react(changes),
    forget: react,
  }
}
