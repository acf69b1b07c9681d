import { type Actor, SYSTEM } from '../audit/audit-event.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { Database } from '../database/database.ts'
import { NotFound, Unavailable } from '../errors.ts'
import { type Policy, policyVersion } from '../installation/policy.ts'
import type { Replicas } from '../installation/replicas.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { UntrustedRows } from '../installation/untrusted-rows.ts'
import type { Clock } from '../system/clock.ts'
import { Coalescer } from '../system/coalescer.ts'
import { confirmations, type Emergency } from './emergency.ts'
import { type ExportedKeys, exportedRing, exportKeys } from './exported-keys.ts'
import { certain, changeKeys, type RotationState } from './key-change.ts'
import { KeyDecryptionError, type KeyEncryption } from './key-encryption.ts'
import type { KeyRing } from './key-ring.ts'
import { decidePolicy, type PolicyChange } from './policy-change.ts'
import { type Reseal, type Rewrapped, rewrap } from './rewrap.ts'
import { duePlan, holdPlan, releasePlan, revokePlan, rotatePlan } from './rotation.ts'
import { type SigningKey, signingKeyVersion } from './signing-key.ts'
import { isRevoked, readKeys } from './signing-key-repository.ts'
import { readRing, withoutPrivateKey } from './stored-ring.ts'
import { refuseUntrusted } from './untrusted-keys.ts'

/** With clocks that differ by this much one of them is wrong, and it is unknown which: rotation stops. */
export const LARGEST_CLOCK_DIFFERENCE_SECONDS = 30

interface Parts {
  database: Database
  encryption: KeyEncryption
  seals: RowSeals
  /** The rows that are not genuine are noted here at each refresh. */
  untrusted: UntrustedRows
  /** Seals rows of other rooms at a rewrap. */
  reseal: Reseal
  replicas: Replicas
  clock: Clock
  /** Seconds by which this host's clock is ahead of the database's. */
  hostAheadSeconds: () => number
  /** From this process's configuration: no verifier caches the JWKS as istiod does. */
  shortPublishLeadAllowed: boolean
}

/** Called with each new ring, and the kids that are no longer published. */
type RingObserver = (ring: KeyRing, gone: readonly string[]) => void

/** Operations on the signing keys, and this process's ring. */
export class SigningKeys {
  readonly #parts: Parts
  /** One at a time, so that an older result never replaces a newer one. */
  readonly #refreshes = new Coalescer(() => this.#read())
  readonly #observers: RingObserver[] = []
  #ring: KeyRing | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @throws {Unavailable} until the keys have been loaded, and while none of them is genuine. */
  get ring(): KeyRing {
    if (!this.#ring) throw new Unavailable('The signing keys are not loaded yet. Retry.')
    // An empty set would make every verifier reject all tokens; it keeps its copy when a fetch fails.
    if (this.#ring.keys.length === 0) throw new Unavailable('No signing key can be used. Retry.')
    return this.#ring
  }

  /**
   * Calls `observer` on each change of the published keys, on every replica, before the new ring is first used. Caches
   * drop tokens of the kids that are gone: they were revoked, or expired long ago.
   */
  observe(observer: RingObserver): void {
    this.#observers.push(observer)
  }

  /**
   * Reads the stored keys into a new ring.
   * @throws {KeyDecryptionError} when one does not decrypt. The new ring is in effect anyway.
   */
  refresh(): Promise<void> {
    return this.#refreshes.run()
  }

  /** The genuine rows as they are stored, and the installation that they are of, for `adopt`. */
  async export(): Promise<ExportedKeys> {
    const { database, seals } = this.#parts
    return database.readSnapshot(trx => exportKeys(trx, seals, this.#known))
  }

  /**
   * Publishes and signs with exported keys, until `refresh` reads the stored ones. @throws {KeyDecryptionError}
   * @throws {Unavailable} when none is genuine.
   */
  async adopt(exported: ExportedKeys): Promise<void> {
    this.#ring = await exportedRing(exported, this.#parts)
  }

  /**
   * Applies the due steps. Any number of processes may call this at any time.
   * @throws {UntrustedKeys} when this process must not decide: see `refuseUntrusted`.
   */
  async advance(): Promise<void> {
    const changed = await this.#change(SYSTEM, state => {
      refuseUntrusted(state, { starting: this.#ring === undefined })
      const mayPlan = this.#clocksAgree || !state.keys.some(inUse)
      const activeIsRevoked = state.rejected.some(({ fault }) => fault === 'revoked')
      const due = () => duePlan(state.keys, state.now, state.policy, { activeIsRevoked })
      const steps = mayPlan ? certain(state, due()) : []
      return { result: steps.length > 0, steps }
    })
    if (changed) await this.#refreshAfterChange()
  }

  /**
   * Schedules the standby's activation: as soon as verifiers have had the publish lead to fetch it. Default of `alg`:
   * the default algorithm. @throws {Conflict} @throws {Unavailable} while the clocks differ.
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

  /** Exempts the key from the schedule until it is released. Idempotent. @throws {NotFound} */
  async hold(actor: Actor, kid: string): Promise<SigningKey> {
    await this.#change(
      actor,
      ({ keys }) => ({ result: undefined, steps: holdPlan(keys, kid) }),
      versionOf(kid),
    )
    return this.#afterwards(kid)
  }

  /** Returns the key to the schedule. Idempotent. @throws {NotFound} */
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
   * Emergency revocation: the key leaves the JWKS, and every replica that can be reached stops signing with it. Returns
   * the replicas that have not confirmed. Idempotent. @throws {NotFound} @throws {Conflict}
   */
  async revoke(actor: Actor, kid: string, reason: string): Promise<Emergency> {
    const { database } = this.#parts
    if (!(await database.run(db => isRevoked(db, kid)))) {
      await this.#change(actor, state => ({ result: undefined, steps: revokePlan(state, kid, reason) }))
    }
    await this.#refreshAfterChange()
    return confirmations(this.#parts, kid)
  }

  /** Re-encrypts every private key under the first encryption key. @throws {Conflict} */
  async rewrap(actor: Actor): Promise<Rewrapped> {
    return rewrap({ ...this.#parts, known: this.#known }, actor)
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
    const { database, seals } = this.#parts
    const { keys } = await database.run(db => readKeys(db, seals, this.#known))
    return keys.map(withoutPrivateKey).reverse()
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
    return changeKeys({ ...this.#parts, known: this.#known }, actor, decide, versionIn)
  }

  /** The kids that this process has verified. */
  get #known(): string[] {
    return this.#ring?.keys.map(({ kid }) => kid) ?? []
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

  /** The change is committed, whether or not this process can decrypt every key; `refresh` reports that. */
  async #refreshAfterChange(): Promise<void> {
    await this.refresh().catch(error => {
      if (!(error instanceof KeyDecryptionError)) throw error
    })
  }

  async #read(): Promise<void> {
    const { ring, faults, rejected } = await readRing(this.#parts, this.#ring)
    this.#parts.untrusted.note('signing_key', new Map(rejected.map(({ kid, fault }) => [kid, fault])))
    const gone = (this.#ring?.keys ?? []).map(key => key.kid).filter(kid => ring.pem(kid) === undefined)
    if (ring.etag !== this.#ring?.etag) for (const observer of this.#observers) observer(ring, gone)
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
