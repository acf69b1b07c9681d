import { KeyDigests } from '../api-keys/key-digest.ts'
import type { Config } from '../config/config.ts'
import { ChangeFollower } from '../database/change-follower.ts'
import { ChangeListener } from '../database/change-listener.ts'
import { FetchTokens } from '../identity-providers/fetching/fetch-tokens.ts'
import { FetchedKeys } from '../identity-providers/fetching/fetched-keys.ts'
import { CurrentPolicy } from '../installation/current-policy.ts'
import { newExchangeOutcomes } from '../oauth/exchange-outcomes.ts'
import { systemClock } from '../system/clock.ts'
import { createLogger, type Logger } from '../system/logger.ts'
import { Metrics } from '../system/metrics.ts'
import { PauseWatch } from '../system/pause-watch.ts'
import { systemRandom } from '../system/random.ts'
import { buildAdministration } from './administration.ts'
import { buildAuthentication } from './authentication.ts'
import { BackgroundJobs } from './background-jobs.ts'
import { subscribeToChanges } from './change-subscriptions.ts'
import { buildDirectory } from './directory.ts'
import { drain, type Stopping } from './drain.ts'
import { buildGatewayAuthorizer } from './gateway-authorizer.ts'
import {
  type Addresses,
  addressesOf,
  createListeners,
  isListener,
  listenOn,
  logListeners,
  SHARED,
  urlsAt,
} from './listeners.ts'
import { registerServiceMetrics } from './metrics/service-metrics.ts'
import type { Parts } from './parts.ts'
import { ReadinessGate } from './readiness.ts'
import { buildRemembered } from './remembered-refusals.ts'
import { serve, type Urls, urlsOf } from './serving.ts'
import { buildSigning, type SigningParts } from './signing.ts'
import { SnapshotStart } from './snapshot-start.ts'
import { buildSnapshots } from './snapshots.ts'
import { StartupChecks } from './startup-checks.ts'
import { openStorage, type Storage, type System } from './storage.ts'
import { buildTrust } from './trust.ts'
import { buildUsage } from './usage.ts'

export interface Overrides extends Partial<System> {
  /** One of several processes (processes/): it has no ops listener, and listens once it is ready. */
  isMember?: boolean
}

/** A running Mintmark. */
export interface Service {
  issuer: string
  readonly urls: Urls
  /** The bound address of each listener that listens. */
  readonly addresses: Addresses
  metrics: Metrics
  /** Settles once the service is ready, or was stopped first. Rejects when it listens only then, and cannot. */
  ready: Promise<void>
  readonly isReady: boolean
  /** Why it is not ready, for an operator. */
  readonly reason: string
  /** What fails although it is ready; '': nothing. */
  readonly warning: string
  /** The number of the last applied change, and the seconds since this replica last saw all changes. */
  changes: { readonly position: string | undefined; readonly stalenessSeconds: number }
  /** Becomes unready at once, finishes requests in flight, closes everything. Idempotent. */
  stop(how?: Stopping): Promise<void>
}

/**
 * The composition root: builds every object once, in the order of their dependencies, and nothing else. Listeners are
 * bound first, because the default issuer names the public port; they answer 503 until everything is built. One of several
 * processes binds them last: until it is ready, the others answer.
 *
 * @throws {Error} when a port cannot be used.
 */
export async function startService(config: Config, overrides: Overrides = {}): Promise<Service> {
  const system: System = {
    clock: overrides.clock ?? systemClock,
    random: overrides.random ?? systemRandom,
    logger: overrides.logger ?? createLogger(config.logLevel),
    tracing: overrides.tracing,
    databaseTimeouts: overrides.databaseTimeouts,
  }
  system.tracing ??= await openTracing(config, system)
  const storage = openStorage(config, system)
  const { isMember = false } = overrides
  const listeners = createListeners(config, system)
  if (!isMember) {
    warnWithoutRoot(config, system.logger)
    await listenOn(listeners, config)
    logListeners(addressesOf(listeners), system.logger)
  }
  const { port } = listeners.public.address ?? config.publicAddress
  const issuer = config.issuer ?? `http://localhost:${port}`
  const isOwn = (address: string, at: number) => isListener(listeners, config, address, at)
  const parts = build(config, system, storage, issuer, isOwn)

  const checks = new StartupChecks(parts)
  const readiness = new ReadinessGate(system)
  const jobs = new BackgroundJobs({ ...parts, readiness })
  subscribeToChanges(parts, jobs)
  const changeListener = listenForChanges(parts)

  const outcomes = newExchangeOutcomes()
  const metrics = new Metrics()
  metrics.collectProcessMetrics()
  registerServiceMetrics(metrics, { ...parts, readiness, outcomes, changeListener })
  serve(listeners, { ...parts, readiness, outcomes, metrics })

  const follow = (isPrepared: boolean) => {
    if (!isPrepared) return
    jobs.start()
    changeListener.start()
  }
  let isListening = !isMember
  const { snapshots } = parts.snapshots
  const fromSnapshot = snapshots && new SnapshotStart(parts, snapshots, checks)
  const ready = readiness
    .until(() => checks.run(), fromSnapshot && (() => fromSnapshot.run()))
    .then(async started => {
      if (started === 'stopped') return
      if (isMember) await listenOn(listeners, config, SHARED)
      isListening = true
      if (started === 'fallback') {
        jobs.startWithoutDatabase()
        void readiness.recover(() => checks.run()).then(follow)
      } else follow(true)
      if (!isMember) system.logger.info({ issuer, ...urlsAt(addressesOf(listeners)) }, 'ready')
    })
  const draining = { ...parts, listeners, readiness, changeListener, jobs }
  let stopping: Promise<void> | undefined
  return {
    issuer,
    metrics,
    ready,
    get urls() {
      return urlsOf(config, listeners)
    },
    get addresses() {
      return addressesOf(listeners)
    },
    changes: parts.follower,
    get isReady() {
      return readiness.ready && isListening
    },
    get reason() {
      return readiness.reason
    },
    get warning() {
      return readiness.warning
    },
    stop: (how = {}) => {
      stopping ??= drain(draining, ready, how)
      return stopping
    },
  }
}

/** OpenTelemetry's SDK is loaded on demand: most installations do without. */
async function openTracing({ traces }: Config, { clock, logger }: System): Promise<System['tracing']> {
  if (!traces) return undefined
  const { OpenTelemetryTracing } = await import('../tracing/opentelemetry.ts')
  return new OpenTelemetryTracing(traces, { clock, logger })
}

function build(
  config: Config,
  system: System,
  storage: Storage,
  issuer: string,
  isOwn: (address: string, port: number) => boolean,
): Parts {
  const follower = new ChangeFollower({ ...system, database: storage.directoryDatabase })
  const policy = new CurrentPolicy({ database: storage.database })
  const digests = new KeyDigests(config.peppers)
  const trust = buildTrust(config, system, storage, issuer)
  const snapshots = buildSnapshots(config, system, storage, issuer)
  const tokens = new FetchTokens({ keys: config.encryptionKeys, random: system.random })
  const fetched = new FetchedKeys({
    ...system,
    tokens,
    cluster: config.cluster,
    now: () => storage.time.now(),
    insecureLoopback: !config.production,
    isOwn,
  })
  const directory = buildDirectory(config, system, storage, follower, trust, snapshots, fetched)
  const signing = buildSigning(config, system, storage, issuer, trust, directory)
  const authentication = buildAuthentication(config, system, storage, directory, digests, issuer)
  const administration = buildAdministration(config, system, storage, digests, {
    policy,
    trust,
    denyList: directory.denyList,
  })
  const pauses = watchForPauses(system, storage, follower, signing)
  const afterPause = () => pauses.check()
  const gateway = buildGatewayAuthorizer(
    config,
    { storage, directory, signing, authentication, afterPause },
    issuer,
  )
  const following = { follower, trust, snapshots, policy, directory, signing }
  const usage = buildUsage(system, storage, digests, policy, trust)
  const remembered = buildRemembered(config, system, storage, signing)
  return {
    config,
    system,
    storage,
    issuer,
    ...following,
    authentication,
    administration,
    gateway,
    pauses,
    usage,
    remembered,
  }
}

/** More than the resolution of the time since boot. */
const UNCOUNTED_MS = 100

/** After a pause this replica reads what changed: the feed, the signing keys, and the database time. */
function watchForPauses(
  system: System,
  { database, time }: Storage,
  follower: ChangeFollower,
  { signingKeys }: SigningParts,
): PauseWatch {
  const catchUp = (uncountedMs: number) => {
    follower.addUncounted(uncountedMs)
    // Database time is extrapolated by the monotonic clock.
    const measured = uncountedMs > UNCOUNTED_MS && time.measure(database)
    return Promise.all([follower.poll(), signingKeys.refresh(), measured])
  }
  return new PauseWatch({ ...system, catchUp })
}

/** Wakes the follower, which polls in any case: docs/decisions/0007-follower-directory.md */
function listenForChanges({ system, storage, follower, remembered: { questions } }: Parts): ChangeListener {
  const { directoryDatabase: database, direct: address } = storage
  const heard = { wake: () => follower.wake(), receive: (message: string) => questions.heard(message) }
  return new ChangeListener({ ...system, database, address, ...heard })
}

export function warnWithoutRoot({ rootTokens }: Config, logger: Logger): void {
  if (rootTokens.length > 0) return
  logger.warn('MINTMARK_ROOT_TOKEN is not set: the admin API accepts admin tokens only')
}
