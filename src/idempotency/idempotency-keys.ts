import type { AuditEvent, Once } from '../audit/audit-event.ts'
import type { Database, Handle } from '../database/database.ts'
import { Conflict } from '../errors.ts'
import type { AnsweredOnce, IdempotencyKey } from './idempotency-key.ts'
import { findDone, insertDone, lockKey, setAnswer } from './idempotency-key-repository.ts'

/** The key was used for another request. */
export class KeyReused extends Error {
  override readonly name = 'KeyReused'
}

/** Operations on idempotency keys. */
export class IdempotencyKeys {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /**
   * The result under the key; undefined: none. @throws {KeyReused} for another body, query or set. @throws {Conflict} while the first
   * request is in progress.
   */
  async find(key: IdempotencyKey): Promise<AnsweredOnce | undefined> {
    const found = await this.#database.run(db => findDone(db, key))
    if (found && !found.bodyDigest.equals(key.bodyDigest)) {
      throw new KeyReused(
        'The Idempotency-Key was used before with another body, query or Mintmark-Set header. Use a new key for a new request.',
      )
    }
    if (found?.fresh && !found.done.answer) throw inFlight()
    return found?.done
  }

  /** Binds the change of a request to its key. */
  once(key: IdempotencyKey): Once {
    return {
      begin: async (trx: Handle) => {
        if ((await lockKey(trx, key)) && !(await findDone(trx, key))) return
        throw inFlight()
      },
      end: async (trx: Handle, first: AuditEvent | undefined) => {
        await insertDone(trx, key, first && { kind: first.targetKind, id: first.targetId })
      },
    }
  }

  /** `answer` must contain no secret. Does nothing for a request that changed nothing. */
  async answered(key: IdempotencyKey, answer: object): Promise<void> {
    await this.#database.run(db => setAnswer(db, key, answer))
  }
}

const inFlight = () =>
  new Conflict(
    'idempotency_key_in_flight',
    'A request with this Idempotency-Key is still running. Repeat it later to get its response.',
  )
