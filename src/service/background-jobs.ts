import type { ChangeUpdate } from '../database/change-subscriber.ts'
import { ANNOUNCE_MS } from '../installation/replicas.ts'
import { AlarmLog } from '../signing-keys/alarm-log.ts'
import { keyAlarms } from '../signing-keys/alarms.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import { PAUSE_TICK_MS } from '../system/pause-watch.ts'
import { scheduleRemovals } from './expired-records.ts'
import { identityAlarms } from './identity-alarms.ts'
import type { Parts } from './parts.ts'
import { currentWarning, type ReadinessGate } from './readiness.ts'
import { storeRestore } from './restores.ts'
import { auditExtension, SnapshotWriter } from './snapshot-writer.ts'
import { trustAlarms } from './trust-alarms.ts'
import { USAGE_PRUNE_MS, USAGE_ROLLUP_MS } from './usage.ts'

const FOLLOW_MS = 500
const REFRESH_MS = 1_000
const LONGEST_ADVANCE_MS = 10_000
const DEFERRED_MS = 5_000
/** A row that is not genuine is found, dropped and reported within ten seconds. */
const TRUST_MS = 5_000
/** /readyz names a right or a table that is gone within five seconds. */
const RIGHTS_MS = 5_000
const EXPIRING_MS = 300_000
const HOURLY_MS = 3_600_000
/** How often a failure to follow changes is logged, once the directory is more than a second stale. */
const STALENESS_LOG_MS = 60_000

type JobParts = Pick<
  Parts,
  | 'config'
  | 'system'
  | 'storage'
  | 'follower'
  | 'trust'
  | 'snapshots'
  | 'policy'
  | 'directory'
  | 'signing'
  | 'authentication'
  | 'administration'
  | 'gateway'
  | 'pauses'
  | 'usage'
> & { readiness: ReadinessGate }

/** The background jobs of this process, from when it is ready until it stops. */
export class BackgroundJobs {
  readonly #parts: JobParts
  readonly #alarms: AlarmLog
  readonly #trustAlarms: AlarmLog
  readonly #failing = new Set<string>()
  #stops: (() => void)[] = []
  #stopAdvancing = () => {}
  #advanceMs = 0
  #state: 'before' | 'running' | 'stopped' = 'before'
  /** The signing keys in the database changed and have not been read again yet. */
  #signingKeysChanged = false
  #stalenessLogged = Number.NEGATIVE_INFINITY

  constructor(parts: JobParts) {
    this.#parts = parts
    this.#alarms = new AlarmLog(parts.system)
    this.#trustAlarms = new AlarmLog(parts.system)
    parts.signing.signingKeys.observe(ring => {
      void this.#attempt('announce this replica', () => this.#announce(ring))
    })
  }

  /** While this process serves from a snapshot: nothing that reads or writes the database. */
  startWithoutDatabase(): void {
    if (this.#state !== 'before') return
    this.#every(FOLLOW_MS, 'report staleness', async () => this.#logStaleness())
    this.#watchSigningKeys()
    this.#watchExtension()
    this.#fetchKeys()
  }

  start(): void {
    if (this.#state !== 'before') return
    this.#stopAll()
    this.#state = 'running'
    const { storage, follower, signing, authentication, administration } = this.#parts
    const { confirmations, expiring, trail, refusals } = administration
    const { pauses, readiness, usage } = this.#parts
    pauses.tick()
    this.#every(PAUSE_TICK_MS, 'notice pauses', async () => pauses.tick())
    this.#every(FOLLOW_MS, 'follow changes', () => follower.poll().finally(() => this.#logStaleness()))
    this.#every(REFRESH_MS, 'measure the database clock', () => storage.time.measure(storage.database))
    this.#every(RIGHTS_MS, 'check rights', () => readiness.watch(() => currentWarning(this.#parts)))
    this.#every(REFRESH_MS, 'store a restore of the database', () => storeRestore(this.#parts))
    this.#every(REFRESH_MS, 'read signing keys', () => this.#readChangedSigningKeys())
    this.#watchSigningKeys()
    this.#watchExtension()
    this.#fetchKeys()
    this.#writeSnapshots()
    this.#every(TRUST_MS, 'verify rows that grant trust', () => this.#verifyRows())
    void this.#attempt('verify rows that grant trust', () => this.#verifyRows())
    this.#every(DEFERRED_MS, 'store last uses and counts', () => authentication.deferred.flush())
    this.#every(DEFERRED_MS, 'settle new secrets', () => confirmations.settle())
    this.#every(ANNOUNCE_MS, 'announce this replica', () => this.#announce(signing.ring()))
    this.#every(DEFERRED_MS, 'store audited refusals', () => refusals.flush())
    this.#every(HOURLY_MS, 'log an audit checkpoint', () => trail.keepCheckpoint())
    this.#every(EXPIRING_MS, 'count expiring keys', () => expiring.look())
    void this.#attempt('count expiring keys', () => expiring.look())
    this.#every(USAGE_PRUNE_MS, 'remove expired usage', () => usage.records.prune())
    void this.#attempt('remove expired usage', () => usage.records.prune())
    this.#every(USAGE_ROLLUP_MS, 'sum days and months of usage', () => usage.records.rollUp())
    scheduleRemovals(this.#every.bind(this), this.#parts)
    this.scheduleRotation()
  }

  /**
   * Runs often enough that a scheduled activation is on time: every tenth of the policy's shortest time. Called again
   * when the policy changes.
   */
  scheduleRotation(): void {
    const { system, policy, signing } = this.#parts
    const { rotationIntervalSeconds, publishLeadSeconds } = policy.policy
    const ms = Math.min(LONGEST_ADVANCE_MS, Math.min(rotationIntervalSeconds, publishLeadSeconds) * 100)
    if (ms === this.#advanceMs || this.#state !== 'running') return
    this.#stopAdvancing()
    this.#advanceMs = ms
    const advance = async () => {
      await signing.signingKeys.advance()
      // In case the change feed missed a change.
      await signing.signingKeys.refresh()
    }
    this.#stopAdvancing = system.clock.every(ms, () => this.#attempt('advance signing keys', advance))
  }

  /** The change feed named the signing keys or the policy: reads the keys, with retries. */
  readSigningKeys(update: ChangeUpdate): void {
    this.#signingKeysChanged = true
    void this.#attempt('read signing keys', async () => {
      // A restored database may have a revoked key as the active one: first its successor.
      if (update === 'everything' && this.#state === 'running')
        await this.#parts.signing.signingKeys.advance()
      await this.#readChangedSigningKeys()
    })
  }

  stop(): void {
    this.#state = 'stopped'
    this.#stopAll()
    this.#stopAdvancing()
  }

  #stopAll(): void {
    for (const stop of this.#stops) stop()
    this.#stops = []
  }

  #watchSigningKeys(): void {
    const { policy, signing, storage } = this.#parts
    this.#every(REFRESH_MS, 'watch signing keys', async () => {
      const hostAheadSeconds = (storage.time.hostAheadMs ?? 0) / 1000
      this.#alarms.log(keyAlarms(signing.ring(), policy.policy, storage.time.now(), hostAheadSeconds))
    })
  }

  /** Of identity providers, with or without the database. */
  #fetchKeys(): void {
    const { fetched } = this.#parts.directory.identities
    fetched.tick()
    this.#every(REFRESH_MS, 'fetch keys of identity providers', async () => fetched.tick())
  }

  #watchExtension(): void {
    const { extension } = this.#parts.snapshots
    if (extension) this.#every(REFRESH_MS, 'read the emergency extension', () => extension.refresh())
  }

  #writeSnapshots(): void {
    const { snapshots } = this.#parts.snapshots
    if (!snapshots) return
    const writer = new SnapshotWriter(this.#parts, snapshots)
    this.#every(REFRESH_MS, 'write snapshots', () => writer.tick())
    this.#every(TRUST_MS, 'audit the emergency extension', () => auditExtension(this.#parts))
  }

  /** Records that this replica is running, and the signing keys it publishes. */
  #announce(ring: KeyRing): Promise<void> {
    return this.#parts.signing.replicas.announce(ring.keys.map(key => key.kid))
  }

  async #readChangedSigningKeys(): Promise<void> {
    if (!this.#signingKeysChanged) return
    this.#signingKeysChanged = false
    await this.#parts.signing.signingKeys.refresh().catch(error => {
      this.#signingKeysChanged = true
      throw error
    })
  }

  /** Verifies rows that may have been written past the change feed, and reports those that are not genuine. */
  async #verifyRows(): Promise<void> {
    const { trust, directory, signing, gateway, storage } = this.#parts
    const results = await Promise.allSettled([
      directory.importedCheck.run(),
      directory.identityCheck.run(),
      signing.signingKeys.refresh(),
    ])
    const [imported] = results
    if (imported.status === 'fulfilled' && imported.value > 0) gateway.issued.clear()
    this.#trustAlarms.log([
      ...trustAlarms(trust.untrusted),
      ...identityAlarms(this.#parts, storage.time.now()),
    ])
    // The key that signed may be among them: its successor must not wait for its turn.
    if (trust.untrusted.counts.signing_key > 0) await signing.signingKeys.advance()
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  #logStaleness(): void {
    const { config, system, follower } = this.#parts
    const { clock, logger } = system
    const now = clock.monotonicMs()
    const seconds = Math.floor(follower.stalenessSeconds)
    if (seconds < 1 || now - this.#stalenessLogged < STALENESS_LOG_MS) return
    this.#stalenessLogged = now
    logger.warn(
      { seconds, limitSeconds: config.stalenessSeconds },
      'directory is stale: changes cannot be read from the database',
    )
  }

  #every(ms: number, name: string, job: () => Promise<unknown>): void {
    this.#stops.push(this.#parts.system.clock.every(ms, () => this.#attempt(name, job)))
  }

  /** Logs a failure once when it begins and once when it ends. */
  async #attempt(name: string, job: () => Promise<unknown>): Promise<void> {
    try {
      await job()
      if (this.#failing.delete(name)) this.#parts.system.logger.info({ task: name }, 'recovered')
    } catch (err) {
      // The database is closed while a job may still be running.
      if (this.#state === 'stopped') return
      if (!this.#failing.has(name))
        this.#parts.system.logger.error({ task: name, err }, 'background task failed; retrying')
      this.#failing.add(name)
    }
  }
}
