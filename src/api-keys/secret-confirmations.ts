import { type Actor, type FieldChanges, SYSTEM } from '../audit/audit-event.ts'
import type { Mutation } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { Conflict, NotFound } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { Clock } from '../system/clock.ts'
import type { ApiKey } from './api-key.ts'
import { setSecretEnd, setSecretRevoked } from './api-key-repository.ts'
import { changeKey } from './key-change.ts'
import { usableSecrets } from './key-state.ts'
import { type DueSecret, deletePending, findDue, findPending } from './pending-secret-repository.ts'

/** Three times the interval at which each replica writes the last uses of secrets, and `settle` runs. */
const USES_WRITTEN_MS = 15_000
const LONGEST_GAP_MS = 15_000

/**
 * The second step of a rotation that waits: once the new secret has reached its holder, the overlap of the older ones
 * begins. A secret that is neither confirmed nor used in time is revoked, and the older ones stay valid.
 */
export class SecretConfirmations {
  readonly #database: Database
  readonly #seals: RowSeals
  readonly #clock: Clock
  /** Since when, and until when, this process has reached the database each time: on the monotonic clock. */
  #reached: { since: number; last: number } | undefined

  constructor(options: { database: Database; seals: RowSeals; clock: Clock }) {
    this.#database = options.database
    this.#seals = options.seals
    this.#clock = options.clock
  }

  /** Idempotent. @throws {NotFound} @throws {Conflict} for a secret that has ended. */
  confirm(actor: Actor, keyId: string, secretId: string): Promise<ApiKey> {
    return changeKey(this.#database, actor, keyId, 'key.secret-confirm', async ({ trx }, key, now) => {
      const secret = key.secrets.find(({ id }) => id === secretId)
      if (!secret) throw new NotFound('secret of this key', secretId)
      const usable = usableSecrets(key, now)
      if (!usable.includes(secret))
        throw new Conflict('secret_ended', 'The secret has ended or is revoked. Rotate the key again.')
      return this.#endOlder(trx, key, secretId, now)
    })
  }

  /**
   * Confirms the secrets that were used, and revokes those that were not within their time: the latter only once the database was
   * reached for a while, because after an outage other replicas have uses that they could not write.
   */
  async settle(): Promise<void> {
    const started = this.#clock.monotonicMs()
    if (this.#reached && started - this.#reached.last > LONGEST_GAP_MS) this.#reached = undefined
    try {
      const due = await this.#database.run(findDue)
      this.#reached ??= { since: this.#clock.monotonicMs(), last: started }
      const usesAreWritten = started - this.#reached.since >= USES_WRITTEN_MS
      for (const secret of due) if (secret.used || usesAreWritten) await this.#settle(secret)
      this.#reached.last = this.#clock.monotonicMs()
    } catch (error) {
      this.#reached = undefined
      throw error
    }
  }

  /** Another replica may have done it: everything is checked again under the lock of the key. */
  async #settle({ id, keyId, used }: DueSecret): Promise<void> {
    const action = used ? 'key.secret-confirm' : 'key.secret-revoke'
    await changeKey(this.#database, SYSTEM, keyId, action, async ({ trx }, key, now) => {
      const secret = key.secrets.find(candidate => candidate.id === id)
      if (!secret?.confirmBy) return undefined
      if (!usableSecrets(key, now).includes(secret)) {
        await deletePending(trx, id)
        return undefined
      }
      if (used) return this.#endOlder(trx, key, id, now)
      // Used meanwhile: confirmed the next time.
      if (secret.lastUsedAt) return undefined
      await deletePending(trx, id)
      await setSecretRevoked(trx, this.#seals, secret)
      return { secretId: { to: id }, reason: { to: 'not confirmed' } }
    }).catch(error => {
      // Deleted with its tenant in between.
      if (!(error instanceof NotFound)) throw error
    })
  }

  async #endOlder(
    trx: Mutation['trx'],
    key: ApiKey,
    secretId: string,
    now: number,
  ): Promise<FieldChanges | undefined> {
    const pending = await findPending(trx, secretId)
    if (!pending) return undefined
    await deletePending(trx, secretId)
    const endsAt = new Date(now + pending.overlapSeconds * 1000)
    // Newest first: a later rotation may have added another one.
    const before = key.secrets.slice(key.secrets.findIndex(({ id }) => id === secretId) + 1)
    const older = usableSecrets(key, now).filter(secret => before.includes(secret))
    for (const secret of older) await setSecretEnd(trx, this.#seals, secret, endsAt)
    const ends = older.map(({ id }) => ({ id, endsAt: endsAt.toISOString() }))
    return { secretId: { to: secretId }, ...(ends.length > 0 && { secretEnds: { to: ends } }) }
  }
}
