import type { ExpiringKeys } from '../api-keys/expiring-keys.ts'
import { type AuditEvent, fieldChanges, SYSTEM } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { AuditTrail } from '../audit/audit-trail.ts'
import type { Refusals } from '../audit/refusals.ts'
import type { Caller } from '../authentication/authenticator.ts'
import { pruneUsage } from '../authentication/deferred-repository.ts'
import type { DeferredWrites } from '../authentication/deferred-writes.ts'
import type { Config } from '../config/config.ts'
import type { Change } from '../database/change.ts'
import { pruneChangeFeed } from '../database/change-feed.ts'
import type { Database } from '../database/database.ts'
import type { DatabaseTime } from '../database/database-time.ts'
import { missingIndexes } from '../database/indexes.ts'
import { connectsAsOwner, pendingMigrations } from '../database/migrate.ts'
import type { Applied } from '../directory/applied.ts'
import type { Follower } from '../directory/follower.ts'
import { Unavailable } from '../errors.ts'
import { pruneIdempotencyKeys } from '../idempotency/idempotency-key-repository.ts'
import { type Installation, openInstallation, readInstallation } from '../installation/installation.ts'
import type { Policy } from '../installation/policy.ts'
import { ANNOUNCE_MS, type Replicas } from '../installation/replicas.ts'
import { AlarmLog } from '../signing-keys/alarm-log.ts'
import { keyAlarms } from '../signing-keys/alarms.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import type { SigningKeys } from '../signing-keys/signing-keys.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { TokenIssuer } from '../tokens/token-issuer.ts'
import { verifyAccessToken } from '../tokens/token-verifier.ts'
import { isPepperInUse } from './pepper-use.ts'
import { NotReady } from './readiness.ts'

const FOLLOW_MS = 500
const REFRESH_MS = 1_000
const LONGEST_ADVANCE_MS = 10_000
const DEFERRED_MS = 5_000
const EXPIRING_MS = 300_000
const PRUNE_MS = 3_600_000
const CHECKPOINT_MS = 3_600_000
/** How often a directory that is not followed is told of, once it is a second old. */
const STALENESS_LOG_MS = 60_000

interface Parts {
  config: Config
  issuer: string
  database: Database
  time: DatabaseTime
  follower: Follower
  deferred: DeferredWrites
  expiring: ExpiringKeys
  trail: AuditTrail
  refusals: Refusals
  signingKeys: SigningKeys
  replicas: Replicas
  clock: Clock
  random: Random
  logger: Logger
}

/** What has to hold before this process may serve, and what it does by itself from then on. */
export class Maintenance {
  readonly #parts: Parts
  #installation: Installation | undefined
  #stops: (() => void)[] = []
  #stopAdvancing = () => {}
  #advanceMs = 0
  readonly #alarms: AlarmLog
  readonly #failing = new Set<string>()
  readonly #warned = new Set<string>()
  #stopped = false
  /** What the change feed named, and was not read again yet. */
  readonly #stale = new Set<Change['kind']>()
  #stalenessTold = Number.NEGATIVE_INFINITY

  constructor(parts: Parts) {
    this.#parts = parts
    this.#alarms = new AlarmLog(parts)
    parts.signingKeys.observe(ring => {
      void this.#attempt('announce this replica', () => parts.replicas.announce(kidsOf(ring)))
    })
  }

  /** @throws {Unavailable} until the installation record has been read. */
  get policy(): Policy {
    if (!this.#installation) throw new Unavailable('The service is not ready. Try again.')
    return this.#installation.policy
  }

  /**
   * Schema, role, installation record, the directory, signing keys, and a probe token signed and verified.
   * @throws what does not hold
   */
  async prepare(): Promise<void> {
    const { config, issuer, database, time, follower, signingKeys } = this.#parts
    await this.#checkSchema()
    await this.#checkRole()
    const issuerMayMove = config.embedded && config.issuer === undefined
    this.#installation = await mutate(database, SYSTEM, async ({ trx, record }) => {
      const { installation, changes, warnings } = await openInstallation(trx, {
        ...config,
        issuer,
        issuerMayMove,
        isPepperInUse,
      })
      for (const warning of warnings) this.#warnOnce(warning)
      if (changes)
        record(installationEvent(installation.id, changes), { kind: 'installation', id: installation.id })
      return installation
    })
    await time.measure(database)
    await signingKeys.advance()
    await signingKeys.refresh()
    await follower.load()
    await this.#probe()
  }

  /** Follows the changes and the clock of the database, and lets go what is old. */
  start(): void {
    const { clock, database, time, follower, deferred, expiring } = this.#parts
    const { trail, refusals, signingKeys, replicas } = this.#parts
    const every = (ms: number, name: string, task: () => Promise<unknown>) => {
      this.#stops.push(clock.every(ms, () => this.#attempt(name, task)))
    }
    every(FOLLOW_MS, 'follow changes', () => follower.poll().finally(() => this.#tellStaleness()))
    every(REFRESH_MS, 'refresh', async () => {
      await time.measure(database)
      await this.#readStale()
    })
    every(REFRESH_MS, 'watch signing keys', async () => {
      this.#alarms.tell(keyAlarms(signingKeys.ring, this.policy, time.now(), (time.hostAheadMs ?? 0) / 1000))
    })
    every(DEFERRED_MS, 'write what exchanges left', () => deferred.flush())
    every(ANNOUNCE_MS, 'announce this replica', () => replicas.announce(kidsOf(signingKeys.ring)))
    every(DEFERRED_MS, 'write who was refused', () => refusals.flush())
    every(CHECKPOINT_MS, 'keep an audit checkpoint', () => trail.keepCheckpoint())
    const lookAtEnds = () => expiring.look()
    every(EXPIRING_MS, 'count the keys that expire soon', lookAtEnds)
    void this.#attempt('count the keys that expire soon', lookAtEnds)
    every(PRUNE_MS, 'let go what is old', async () => {
      follower.removeEnded(time.now())
      await database.read(pruneChangeFeed)
      await database.read(pruneIdempotencyKeys)
      await database.read(pruneUsage)
      await replicas.prune()
    })
    this.#advanceRegularly()
  }

  /** Signing keys and the policy are read again when the change feed names them, and until that has worked. */
  follow(applied: Applied): void {
    for (const kind of ['signing-keys', 'installation'] as const) {
      if (applied === 'everything' || applied.some(change => change.kind === kind)) this.#stale.add(kind)
    }
    if (this.#stale.size > 0) void this.#attempt('read what changed', () => this.#readStale())
  }

  stop(): void {
    this.#stopped = true
    for (const stop of this.#stops) stop()
    this.#stopAdvancing()
    this.#stops = []
  }

  /**
   * Often enough that a scheduled activation is done long before it matters: a tenth of the shortest time in the
   * policy, which may have changed.
   */
  #advanceRegularly(): void {
    const { clock, signingKeys } = this.#parts
    const { rotationIntervalSeconds, publishLeadSeconds } = this.policy
    const ms = Math.min(LONGEST_ADVANCE_MS, Math.min(rotationIntervalSeconds, publishLeadSeconds) * 100)
    if (ms === this.#advanceMs || this.#stopped) return
    this.#stopAdvancing()
    this.#advanceMs = ms
    const advance = async () => {
      await signingKeys.advance()
      // The net under the change feed.
      await signingKeys.refresh()
    }
    this.#stopAdvancing = clock.every(ms, () => this.#attempt('advance signing keys', advance))
  }

  /** A failure is told once when it begins and once when it is over. */
  async #attempt(name: string, task: () => Promise<unknown>): Promise<void> {
    try {
      await task()
      if (this.#failing.delete(name)) this.#parts.logger.info({ task: name }, 'recovered')
    } catch (err) {
      // The database closes beneath a task that was running when we stopped.
      if (this.#stopped) return
      if (!this.#failing.has(name)) this.#parts.logger.error({ task: name, err }, 'failed, trying again')
      this.#failing.add(name)
    }
  }

  async #readStale(): Promise<void> {
    const { database, signingKeys } = this.#parts
    const readers = {
      installation: async () => {
        this.#installation = await database.read(readInstallation)
        this.#advanceRegularly()
        // The ring goes by the policy's algorithms.
        await signingKeys.refresh()
      },
      'signing-keys': () => signingKeys.refresh(),
    }
    for (const kind of ['installation', 'signing-keys'] as const) {
      if (!this.#stale.delete(kind)) continue
      await readers[kind]().catch(error => {
        this.#stale.add(kind)
        throw error
      })
    }
  }

  #tellStaleness(): void {
    const { clock, config, follower, logger } = this.#parts
    const now = clock.monotonicMs()
    const seconds = Math.floor(follower.stalenessSeconds)
    if (seconds < 1 || now - this.#stalenessTold < STALENESS_LOG_MS) return
    this.#stalenessTold = now
    logger.warn({ seconds, limitSeconds: config.stalenessSeconds }, 'changes cannot be followed')
  }

  async #checkSchema(): Promise<void> {
    const pending = await pendingMigrations(this.#parts.database)
    const cure = 'run "npm run migrate" with MIGRATE_DATABASE_URL set to the owner role'
    if (pending.length > 0)
      throw new NotReady(`The database lacks the migrations ${pending.join(', ')}: ${cure}.`)
    const missing = await missingIndexes(this.#parts.database)
    if (missing.length === 0) return
    this.#warnOnce(
      `The database lacks the indexes ${missing.join(', ')}: lists may be slow or time out until they are there; ${cure}.`,
    )
  }

  async #checkRole(): Promise<void> {
    if (!(await connectsAsOwner(this.#parts.database))) return
    const advice =
      'DATABASE_URL connects as the role that owns the tables: use a login role that is a member of mintmark_app (db/roles.sql).'
    if (this.#parts.config.production) throw new NotReady(advice)
    this.#warnOnce(advice)
  }

  /** Preparing is tried again and again; what it warns of is told once. */
  #warnOnce(warning: string): void {
    if (!this.#warned.has(warning)) this.#parts.logger.warn(warning)
    this.#warned.add(warning)
  }

  /** Signs a token and verifies it against the JWKS as it will be published. */
  async #probe(): Promise<void> {
    const { issuer, signingKeys, time, random } = this.#parts
    const ring = signingKeys.ring
    const prober = new TokenIssuer({ issuer, ring: () => ring, random })
    const now = time.now()
    const { jwt } = await prober.issue(probeCaller(now), { scopes: ['probe'], audiences: ['mintmark-probe'] })
    await verifyAccessToken(jwt, { ring, issuer, audience: 'mintmark-probe', now })
  }
}

const kidsOf = (ring: KeyRing) => ring.keys.map(key => key.kid)

function installationEvent(
  id: string,
  { before, after }: { before: object | undefined; after: object },
): AuditEvent {
  const action = before ? 'installation.update' : 'installation.create'
  return { action, targetKind: 'installation', targetId: id, changes: fieldChanges(before, after) }
}

/** Nobody: its token is checked and thrown away, and no gateway takes its audience. */
const probeCaller = (at: number): Caller => ({
  keyId: 'key_0000000000000000',
  secretId: 'sec_0000000000000000',
  tenantId: 'mintmark-probe',
  rights: {
    tier: 'probe',
    priority: 0,
    scopes: ['probe'],
    models: [],
    adapters: [],
    audiences: ['mintmark-probe'],
    tokenTtlSeconds: 60,
  },
  endsAt: null,
  at,
})
