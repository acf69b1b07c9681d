import type { Change } from './change.ts'
import type { Handle } from './database.ts'

/** What was applied: these changes, or everything after a full load. */
export type ChangeUpdate = readonly Change[] | 'everything'

/** Puts into effect what was read. Must not wait, so that nothing sees a part of an update. */
export type Apply = () => void

/**
 * A part of this process that holds something of the database. `ChangeFollower` calls it; what is read is only ever put
 * into effect by the `Apply` that comes back.
 */
export interface ChangeSubscriber {
  /** The kinds of change that it reads; absent: all. Of other changes it is not notified. */
  readonly kinds?: readonly Change['kind'][]
  /**
   * Reads everything again. Changes that are committed meanwhile go through `read` as usual, and are newer than what is
   * read here. @throws {Unavailable} when `signal` aborts, or the database does not answer.
   */
  load(signal: AbortSignal): Promise<Apply>
  /** Reads the objects that `changes` name, each once, at the moment that `trx` shows. */
  read(trx: Handle, changes: readonly Change[]): Promise<Apply>
  /** This process changed these objects and cannot read them now: they must not be used until `read` brought them. */
  forget(changes: readonly Change[]): void
}

/** A subscriber that reads nothing with the feed: it drops what it remembers, or starts to read by itself. */
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
