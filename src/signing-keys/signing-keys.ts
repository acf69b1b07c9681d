import { type Actor, SYSTEM } from '../audit/audit-event.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { Database } from '../database/database.ts'
import { NotFound, Unavailable } from '../errors.ts'
import { type Policy, policyVersion } from '../installation/policy.ts'
import type { Replicas } from '../installation/replicas.ts'
import type { Clock } from '../system/clock.ts'
import { Coalescer } from '../system/coalescer.ts'
import { confirmations, type Emergency } from './emergency.ts'
import { changeKeys, type RotationState } from './key-change.ts'
import { KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import type { KeyRing } from './key-ring.ts'
import { decidePolicy, type PolicyChange } from './policy-change.ts'
import { type Rewrapped, rewrap } from './rewrap.ts'
import { duePlan, holdPlan, releasePlan, revokePlan, rotatePlan } from './rotation.ts'
import { type SigningKey, signingKeyVersion } from './signing-key.ts'
import { findRevocation, publishedKeys } from './signing-key-repository.ts'
import { readRing, withoutPrivateHalf } from './stored-ring.ts'

/** With clocks that differ by this much one of them is wrong, and nobody knows which: nothing is rotated by them. */
export const LARGEST_CLOCK_DIFFERENCE_SECONDS = 30

interface Parts {
  database: Database
  encryption: KeyEncryption
  replicas: Replicas
  clock: Clock
  /** Seconds by which this host's clock is ahead of the database's. */
  hostAheadSeconds: () => number
  /** Of the configuration of this process: no verifier caches the JWKS as istiod does. */
  shortPublishLeadAllowed: boolean
}

/** Hears of each new ring, and of the kids that were published before and are no more. */
type RingObserver = (ring: KeyRing, gone: readonly string[]) => void

/** Operations on the signing keys, and this process's view of them. */
export class SigningKeys {
  readonly #parts: Parts
  /** One at a time, so that an older answer never takes the place of a newer one. */
  readonly #refreshes = new Coalescer(() => this.#read())
  readonly #observers: RingObserver[] = []
  #ring: KeyRing | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @throws {Unavailable} until the keys have been loaded. */
  get ring(): KeyRing {
    if (!this.#ring) throw new Unavailable('The signing keys are not loaded yet. Retry.')
    return this.#ring
  }

  /**
   * `hear` is told of each change of the published keys, on every replica, before the new ring is first used. Whoever
   * keeps tokens drops those whose kid is gone: it was revoked, or has long been of no use.
   */
  observe(hear: RingObserver): void {
    this.#observers.push(hear)
  }

  /**
   * Reads the stored keys into a new ring.
   * @throws {KeyDecryptionError} when one does not open. The ring is the new one all the same.
   */
  refresh(): Promise<void> {
    return this.#refreshes.run()
  }

  /** Does what is due. Any number of processes may call this at any time. */
  async advance(): Promise<void> {
    const changed = await this.#change(SYSTEM, state => {
      const steps =
        this.#clocksAgree || !state.keys.some(inUse) ? duePlan(state.keys, state.now, state.policy) : []
      return { result: steps.length > 0, steps }
    })
    if (changed) await this.#refreshAfterChange()
  }

  /**
   * Fixes when the standby takes over: as soon as verifiers have had the publish lead to see it. Without `alg` it is
   * that of the default algorithm. @throws {Conflict} @throws {Unavailable} while the clocks differ.
   */
  async rotate(actor: Actor, alg?: SigningAlg): Promise<{ kid: string; activatesAt: number }> {
    if (!this.#clocksAgree) throw new Unavailable(this.#clocksDiffer())
    const scheduled = await this.#change(actor, ({ keys, now, policy }) => {
      const { steps, ...result } = rotatePlan(keys, now, policy, alg ?? policy.signingAlg)
      return { result, steps }
    })
    await this.advance()
    await this.#refreshAfterChange()
    return scheduled
  }

  /** Nothing happens to the key by itself until it is released. Repeatable. @throws {NotFound} */
  async hold(actor: Actor, kid: string): Promise<SigningKey> {
    await this.#change(
      actor,
      ({ keys }) => ({ result: undefined, steps: holdPlan(keys, kid) }),
      versionOf(kid),
    )
    return this.#afterwards(kid)
  }

  /** The schedule goes on. Repeatable. @throws {NotFound} */
  async release(actor: Actor, kid: string): Promise<SigningKey> {
    await this.#change(
      actor,
      ({ keys }) => ({ result: undefined, steps: releasePlan(keys, kid) }),
      versionOf(kid),
    )
    await this.advance()
    return this.#afterwards(kid)
  }

  /**
   * The emergency: the key leaves the JWKS, and nothing is signed with it any more on any replica that can hear of it.
   * Says who has not confirmed that. Repeatable. @throws {NotFound} @throws {Conflict}
   */
  async revoke(actor: Actor, kid: string, reason: string): Promise<Emergency> {
    const { database } = this.#parts
    if (!(await database.run(db => findRevocation(db, kid)))) {
      await this.#change(actor, ({ keys, now, policy }) => ({
        result: undefined,
        steps: revokePlan(keys, now, policy, kid, reason),
      }))
    }
    await this.#refreshAfterChange()
    return confirmations(this.#parts, kid)
  }

  /** Every private half under the encryption key that comes first. @throws {Conflict} */
  async rewrap(actor: Actor): Promise<Rewrapped> {
    return rewrap(this.#parts, actor)
  }

  /** @throws {Invalid} @throws {Conflict} @throws {Unavailable} while the clocks differ. */
  async changePolicy(actor: Actor, change: PolicyChange): Promise<Policy> {
    if (!this.#clocksAgree) throw new Unavailable(this.#clocksDiffer())
    const { shortPublishLeadAllowed } = this.#parts
    const policy = await this.#change(
      actor,
      state => decidePolicy(state, change, { shortPublishLeadAllowed }),
      state => policyVersion(state.policy),
    )
    await this.advance()
    await this.#refreshAfterChange()
    return policy
  }

  /** Published keys, newest first. */
  async list(): Promise<SigningKey[]> {
    return (await this.#parts.database.run(publishedKeys)).map(withoutPrivateHalf).reverse()
  }

  /** @throws {NotFound} when no such key is published. */
  async get(kid: string): Promise<SigningKey> {
    const key = (await this.list()).find(candidate => candidate.kid === kid)
    if (!key) throw new NotFound('published signing key', kid)
    return key
  }

  #change<T>(
    actor: Actor,
    decide: Parameters<typeof changeKeys<T>>[2],
    versionIn?: Parameters<typeof changeKeys<T>>[3],
  ): Promise<T> {
    return changeKeys(this.#parts, actor, decide, versionIn)
  }

  get #clocksAgree(): boolean {
    return Math.abs(this.#parts.hostAheadSeconds()) < LARGEST_CLOCK_DIFFERENCE_SECONDS
  }

  #clocksDiffer(): string {
    const seconds = Math.round(Math.abs(this.#parts.hostAheadSeconds()))
    return `The clocks of this host and of the database differ by ${seconds} s, so nothing is rotated. Check the time synchronisation of both.`
  }

  async #afterwards(kid: string): Promise<SigningKey> {
    await this.#refreshAfterChange()
    return this.get(kid)
  }

  /** What was changed stays changed, whether or not this process can open every key; `refresh` reports that. */
  async #refreshAfterChange(): Promise<void> {
    await this.refresh().catch(error => {
      if (!(error instanceof KeyDecryptionError)) throw error
    })
  }

  async #read(): Promise<void> {
    const { database, encryption } = this.#parts
    const { ring, faults } = await readRing(database, encryption, this.#ring)
    const gone = (this.#ring?.keys ?? []).map(key => key.kid).filter(kid => ring.pem(kid) === undefined)
    if (ring.etag !== this.#ring?.etag) for (const hear of this.#observers) hear(ring, gone)
    this.#ring = ring
    if (faults[0]) throw faults[0]
  }
}

const versionOf =
  (kid: string) =>
  ({ keys }: RotationState): string | undefined => {
    const key = keys.find(candidate => candidate.kid === kid)
    return key && signingKeyVersion(key)
  }

const inUse = ({ state }: RotationState['keys'][number]) => state === 'active' || state === 'standby'
