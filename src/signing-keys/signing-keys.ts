import { type Actor, type AuditEvent, fieldChanges, SYSTEM } from '../audit/audit-event.ts'
import { type Mutation, mutate } from '../audit/audit-log.ts'
import type { SigningAlg } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { readInstallation } from '../database/installation.ts'
import { Unavailable } from '../errors.ts'
import { Rounds } from '../system/rounds.ts'
import { KeyRing, type RingKey } from './jwks.ts'
import { KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import { duePlan, earliestActivation, type Step } from './rotation.ts'
import { type GeneratedKey, generateSigningKey, importPrivateKey, type SigningKey } from './signing-key.ts'
import {
  activateKey,
  insertSigningKey,
  lockSigningKeys,
  publishedKeys,
  removeKey,
  retireKey,
  type StoredKey,
  scheduleActivation,
} from './signing-key-repository.ts'

/** A call that comes so soon after a rotation is the same call again, whose answer was lost. */
const JUST_NOW_MS = 60_000

/** Operations on the signing keys, and this process's view of them. */
export class SigningKeys {
  readonly #database: Database
  readonly #encryption: KeyEncryption
  /** One at a time, so that an older answer never takes the place of a newer one. */
  readonly #refreshes = new Rounds(() => this.#read())
  #ring: KeyRing | undefined

  constructor(options: { database: Database; encryption: KeyEncryption }) {
    this.#database = options.database
    this.#encryption = options.encryption
  }

  /** @throws {Unavailable} until the keys have been loaded. */
  get ring(): KeyRing {
    if (!this.#ring) throw new Unavailable('The signing keys are not loaded yet. Try again.')
    return this.#ring
  }

  /**
   * Reads the stored keys into a new ring. Private halves that are held already are not decrypted again.
   * @throws {KeyDecryptionError} when one does not open. The ring is the new one all the same: such a key is published,
   * and not signed with.
   */
  refresh(): Promise<void> {
    return this.#refreshes.next()
  }

  /**
   * Does what is due: the first keys, a scheduled activation, a removal. Any number of processes may call this at any
   * time; the plan is made again under the lock, so each step happens once.
   */
  async advance(): Promise<void> {
    const { keys, policy, now } = await this.#database.read(async db => ({
      keys: await publishedKeys(db),
      policy: (await readInstallation(db)).policy,
      now: await databaseNow(db),
    }))
    const steps = duePlan(keys, now, policy)
    if (steps.length === 0) return
    // Made before the transaction, because an RSA key takes longer to make than a lock should be held.
    const spares = await Promise.all(
      steps.flatMap(step => (step.type === 'create' ? generateSigningKey(step.alg) : [])),
    )
    await mutate(this.#database, SYSTEM, async mutation => {
      const { trx } = mutation
      const locked = await lockSigningKeys(trx)
      const { policy } = await readInstallation(trx)
      for (const step of duePlan(await publishedKeys(trx), locked.now, policy)) {
        await this.#apply(mutation, step, spares, locked.now)
      }
    })
    await this.#refreshAfterChange()
  }

  /**
   * Fixes when the standby takes over: as soon as verifiers have had the publish lead to see it. Repeatable: a time
   * that is fixed already stays, and a rotation that has just happened is the answer to the call that asks again.
   */
  async rotate(actor: Actor): Promise<{ kid: string; activatesAt: number }> {
    const scheduled = await mutate(this.#database, actor, async ({ trx, record }) => {
      const { now } = await lockSigningKeys(trx)
      const { policy } = await readInstallation(trx)
      const own = (await publishedKeys(trx)).filter(key => key.alg === policy.signingAlg)
      const done = own.find(key => (key.activatesAt ?? 0) > now - JUST_NOW_MS && isTurnOver(key, own))
      if (done?.activatesAt) return { kid: done.kid, activatesAt: done.activatesAt }
      const standby = own.find(key => key.state === 'standby')
      if (!standby) throw new Unavailable('There is no standby key yet. Try again.')
      const activatesAt = earliestActivation(standby, now, policy)
      await scheduleActivation(trx, standby.kid, activatesAt)
      const changes = fieldChanges(undefined, { activatesAt: new Date(activatesAt) })
      record(event('schedule', standby.kid, changes), { kind: 'signing-keys', id: standby.kid })
      return { kid: standby.kid, activatesAt }
    })
    await this.advance()
    await this.#refreshAfterChange()
    return scheduled
  }

  /** Published keys, newest first. */
  async list(): Promise<SigningKey[]> {
    return (await this.#database.read(publishedKeys)).reverse()
  }

  /** What was changed stays changed, whether or not this process can open every key; `refresh` reports that. */
  async #refreshAfterChange(): Promise<void> {
    await this.refresh().catch(error => {
      if (!(error instanceof KeyDecryptionError)) throw error
    })
  }

  async #read(): Promise<void> {
    const faults: KeyDecryptionError[] = []
    const stored = await this.#database.read(publishedKeys)
    const keys = stored.map(key =>
      this.#toRingKey(key).catch(error => {
        if (!(error instanceof KeyDecryptionError)) throw error
        faults.push(error)
        return { ...withoutPrivateHalf(key), privateKey: undefined }
      }),
    )
    this.#ring = await KeyRing.of(await Promise.all(keys))
    if (faults[0]) throw faults[0]
  }

  async #toRingKey(stored: StoredKey): Promise<RingKey> {
    const { encrypted } = stored
    const key = withoutPrivateHalf(stored)
    // A retiring key is published only: nobody signs with it again.
    if (key.state === 'retiring' || !encrypted) return { ...key, privateKey: undefined }
    const held = this.#ring?.keys.find(candidate => candidate.kid === key.kid)?.privateKey
    const privateKey = held ?? importPrivateKey(await this.#encryption.decrypt(key.kid, encrypted))
    return { ...key, privateKey }
  }

  async #apply({ trx, record }: Mutation, step: Step, spares: GeneratedKey[], now: number): Promise<void> {
    switch (step.type) {
      case 'create': {
        const made = takeSpare(spares, step.alg)
        if (!made) return // the plan grew while waiting for the lock; the next call does the rest
        const encrypted = this.#encryption.encrypt(made.kid, made.privateJwk)
        await insertSigningKey(trx, { ...made, state: step.state, encrypted, now })
        const changes = fieldChanges(undefined, { alg: step.alg, state: step.state })
        return record(event('create', made.kid, changes), { kind: 'signing-keys', id: made.kid })
      }
      case 'activate':
        await activateKey(trx, step.kid)
        return record(transition(step.kid, 'standby', 'active'), { kind: 'signing-keys', id: step.kid })
      case 'retire':
        await retireKey(trx, step.kid, step.retiresAt)
        return record(transition(step.kid, 'active', 'retiring'), { kind: 'signing-keys', id: step.kid })
      case 'remove':
        await removeKey(trx, step.kid, now)
        return record(transition(step.kid, 'retiring', 'removed'), { kind: 'signing-keys', id: step.kid })
      default:
        step satisfies never
    }
  }
}

function withoutPrivateHalf({ encrypted: _, ...key }: StoredKey): SigningKey {
  return key
}

/** A scheduled standby, or an active key that has taken over from another: not the first key of an installation. */
function isTurnOver(key: SigningKey, all: readonly SigningKey[]): boolean {
  return key.state === 'standby' || (key.state === 'active' && all.some(other => other.state === 'retiring'))
}

function takeSpare(spares: GeneratedKey[], alg: SigningAlg): GeneratedKey | undefined {
  const index = spares.findIndex(spare => spare.alg === alg)
  return index < 0 ? undefined : spares.splice(index, 1)[0]
}

const transition = (kid: string, from: string, to: string): AuditEvent =>
  event(to, kid, { state: { from, to } })

const event = (action: string, kid: string, changes: AuditEvent['changes']): AuditEvent => ({
  action: `signing-key.${action}`,
  targetKind: 'signing-key',
  targetId: kid,
  changes,
})
