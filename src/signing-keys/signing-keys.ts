import { type Actor, type AuditEvent, fieldChanges, SYSTEM } from '../audit/audit-event.ts'
import { type Mutation, mutate } from '../audit/audit-log.ts'
import type { SigningAlg } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { readInstallation } from '../database/installation.ts'
import { Unavailable } from '../errors.ts'
import { KeyRing, type RingKey } from './jwks.ts'
import type { KeyEncryption } from './key-encryption.ts'
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

/** Operations on the signing keys, and this process's view of them. */
export class SigningKeys {
  readonly #database: Database
  readonly #encryption: KeyEncryption
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
   * @throws {KeyDecryptionError} and keeps the ring as it was.
   */
  async refresh(): Promise<void> {
    const stored = await this.#database.read(publishedKeys)
    this.#ring = await KeyRing.of(await Promise.all(stored.map(key => this.#toRingKey(key))))
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
      const locked = await lockSigningKeys(mutation.trx)
      for (const step of duePlan(await publishedKeys(mutation.trx), locked.now, policy)) {
        await this.#apply(mutation, step, spares, locked.now)
      }
    })
    await this.refresh()
  }

  /**
   * Fixes when the standby takes over: as soon as verifiers have had the publish lead to see it. Repeatable: a time
   * that is fixed already stays.
   */
  async rotate(actor: Actor): Promise<{ kid: string; activatesAt: number }> {
    await this.advance()
    const scheduled = await mutate(this.#database, actor, async ({ trx, record }) => {
      const { now } = await lockSigningKeys(trx)
      const { policy } = await readInstallation(trx)
      const standby = (await publishedKeys(trx)).find(
        key => key.state === 'standby' && key.alg === policy.signingAlg,
      )
      if (!standby) throw new Unavailable('There is no standby key yet. Try again.')
      const { kid } = standby
      if (standby.activatesAt !== null) return { kid, activatesAt: standby.activatesAt }
      const activatesAt = earliestActivation(standby, now, policy)
      await scheduleActivation(trx, kid, activatesAt)
      const changes = fieldChanges(undefined, { activatesAt: new Date(activatesAt) })
      record(event('schedule', kid, changes), { kind: 'signing-keys', id: kid })
      return { kid, activatesAt }
    })
    await this.advance()
    await this.refresh()
    return scheduled
  }

  /** Published keys, newest first. */
  async list(): Promise<SigningKey[]> {
    return (await this.#database.read(publishedKeys)).reverse()
  }

  async #toRingKey(stored: StoredKey): Promise<RingKey> {
    const { encrypted, ...key } = stored
    // A retiring key is published only: nobody signs with it again.
    if (key.state === 'retiring' || !encrypted) return { ...key, privateKey: undefined }
    const held = this.#ring?.keys.find(candidate => candidate.kid === key.kid)?.privateKey
    const privateKey =
      held ?? (await importPrivateKey(await this.#encryption.decrypt(key.kid, encrypted), key.alg))
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
