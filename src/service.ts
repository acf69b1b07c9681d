import { mountAdminRoutes } from './admin/admin-app.ts'
import { AdminAuth } from './admin/admin-auth.ts'
import { AdminTokens } from './admin-tokens/admin-tokens.ts'
import { countLiveKeys } from './api-keys/api-key-repository.ts'
import { ApiKeys } from './api-keys/api-keys.ts'
import { Authenticator } from './api-keys/authenticator.ts'
import { DeferredWrites } from './api-keys/deferred-writes.ts'
import { FallbackLookup } from './api-keys/fallback-lookup.ts'
import { Follower } from './api-keys/follower.ts'
import { ImportedClients } from './api-keys/imported-clients.ts'
import { ImportedSecrets } from './api-keys/imported-secrets.ts'
import { KeyDigests } from './api-keys/key-digest.ts'
import { KeyStandings } from './api-keys/key-standings.ts'
import { ReplicaDirectory } from './api-keys/replica-directory.ts'
import { CheckpointSigner } from './audit/audit-checkpoint.ts'
import { AuditTrail } from './audit/audit-trail.ts'
import { Refusals } from './audit/refusals.ts'
import type { Config } from './config/config.ts'
import { jwksMaxAgeSeconds } from './config/rotation-policy.ts'
import { ChangeListener } from './database/change-listener.ts'
import { Database } from './database/database.ts'
import { DatabaseTime } from './database/database-time.ts'
import { firstOf } from './database/installation-secrets.ts'
import { Replicas } from './database/replicas.ts'
import { DOOR_SCOPE, Door } from './gateway/decision.ts'
import { AUTHORIZATION_SERVICE, authorizationService } from './gateway/grpc-check.ts'
import { mountGatewayRoutes } from './gateway/http-check.ts'
import { mountHealth } from './http/health.ts'
import { mountMetrics } from './http/metrics-page.ts'
import { requestDurations } from './http/request-durations.ts'
import { createApp, type Listener } from './http/server.ts'
import { IdempotencyKeys } from './idempotency/idempotency-keys.ts'
import { bindListeners, url } from './listeners.ts'
import { Maintenance } from './maintenance.ts'
import { newExchangeOutcomes } from './oauth/exchange-outcomes.ts'
import { mountPublicRoutes } from './oauth/public-app.ts'
import { ReadinessGate } from './readiness.ts'
import { registerServiceMetrics } from './service-metrics.ts'
import { KeyEncryption } from './signing-keys/key-encryption.ts'
import { SigningKeys } from './signing-keys/signing-keys.ts'
import { type Clock, systemClock } from './system/clock.ts'
import { inTime } from './system/deadline.ts'
import { FailureLimit } from './system/failure-limit.ts'
import { processName } from './system/host.ts'
import { createLogger, type Logger } from './system/logger.ts'
import { Metrics } from './system/metrics.ts'
import { registerProcessMetrics } from './system/process-metrics.ts'
import { type Random, systemRandom } from './system/random.ts'
import { Models } from './tenants/models.ts'
import { Tenants } from './tenants/tenants.ts'
import { Tiers } from './tenants/tiers.ts'
import { MintedTokens } from './tokens/minted-tokens.ts'
import { TokenIssuer } from './tokens/token-issuer.ts'
import { TokenReader } from './tokens/token-reader.ts'

export interface Overrides {
  clock?: Clock
  random?: Random
  logger?: Logger
}

/** A running Mintmark. */
export interface Service {
  issuer: string
  /** Base URLs of the listeners as this machine reaches them. */
  urls: { public: string; admin: string; gateway: string; gatewayGrpc: string; ops: string }
  /** Settles once the service is ready, or was stopped before. */
  ready: Promise<void>
  readonly isReady: boolean
  /** Why it is not ready, in words for an operator. */
  readonly reason: string
  /** How many keys this replica knows, and the seconds since it last saw all changes. */
  directory: { readonly size: number; readonly stalenessSeconds: number }
  /** Unready at once, requests in flight finish, everything closes. Repeatable. */
  stop(): Promise<void>
}

/** Together under the ten seconds that a supervisor may give. */
const DRAIN_DEADLINE_MS = 8_000
const OPS_DEADLINE_MS = 500
const LAST_REFUSALS_MS = 1_000

/** Of the connections of a process: kept for following and looking up, so that administration cannot hold them up. */
const DIRECTORY_CONNECTIONS = 2
const LISTENER_CONNECTIONS = 1

/**
 * The composition root: builds every object once, in the order in which they need each other, and nothing else.
 * Listeners are bound first, because the default issuer names the public port; they answer 503 until all is there.
 *
 * @throws {Error} when a port cannot be used.
 */
export async function startService(config: Config, overrides: Overrides = {}): Promise<Service> {
  const clock = overrides.clock ?? systemClock
  const random = overrides.random ?? systemRandom
  const logger = overrides.logger ?? createLogger(config.logLevel)
  if (!config.databaseUrl) throw new Error('the service needs a database: main.ts starts the embedded one')

  if (config.rootTokens.length === 0)
    logger.warn(
      'MINTMARK_ROOT_TOKEN is not set: root access is off, and the admin API is for admin tokens only',
    )

  const listeners = await bindListeners(config, clock)
  const issuer = config.issuer ?? `http://localhost:${listeners.public.port}`

  const databaseUrl = config.databaseUrl.reveal()
  const openPool = (maxConnections: number) => new Database({ url: databaseUrl, maxConnections, logger })
  const database = openPool(config.databaseMaxConnections - DIRECTORY_CONNECTIONS - LISTENER_CONNECTIONS)
  const directoryDatabase = openPool(DIRECTORY_CONNECTIONS)
  const time = new DatabaseTime(clock)
  const { tokenTtlSeconds } = config

  const tiers = new Tiers({ database })
  const models = new Models({ database })
  const tenants = new Tenants({ database, defaultAudience: config.audience, countLiveKeys })
  const digests = new KeyDigests(config.peppers)
  const keys = new ApiKeys({ database, digests, random, tokenTtlSeconds })
  const adminTokens = new AdminTokens({ database, digests, random, logger })
  const { stalenessSeconds, directoryMaxKeys: maxKeys } = config
  const following = { database: directoryDatabase, clock, random, logger, tokenTtlSeconds }
  const follower = new Follower({ ...following, maxKeys, stalenessSeconds })
  database.onCommit(changes => follower.settle(changes))
  const fallback = new FallbackLookup({ ...following, follower, peppers: config.peppers })
  const directory = new ReplicaDirectory({ follower, fallback })
  const directUrl = config.databaseUrlDirect?.reveal() ?? databaseUrl
  const listener = new ChangeListener({ ...following, url: directUrl, wake: () => follower.wake() })
  const failures = new FailureLimit({ perMinute: config.failuresPerMinute })
  const redigested = (from: string, to: string) => follower.redigest(from, to)
  const deferred = new DeferredWrites({ database, clock, pepper: digests.storing, redigested })
  const now = () => time.now()
  const imported = new ImportedSecrets({ directory, failures, clock, random })
  const importedClients = new ImportedClients({ database, random })
  const authenticator = new Authenticator({ digests, directory, failures, imported, deferred, now })

  const encryption = new KeyEncryption({ keys: config.encryptionKeys, random })
  const replicas = new Replicas({ database, id: random.uuid(), host: processName(), stalenessSeconds })
  const { shortPublishLeadAllowed } = config
  const hostAheadSeconds = () => (time.hostAheadMs ?? 0) / 1000
  const keeping = { database, encryption, replicas, clock, hostAheadSeconds, shortPublishLeadAllowed }
  const signingKeys = new SigningKeys(keeping)
  const ring = () => signingKeys.ring
  const signer = new CheckpointSigner(firstOf(config.encryptionKeys))
  const trail = new AuditTrail({ database, signer, logger })
  const refusals = new Refusals({ database })
  const parts = {
    config,
    issuer,
    database,
    time,
    follower,
    deferred,
    trail,
    refusals,
    signingKeys,
    replicas,
    clock,
    random,
    logger,
  }
  const maintenance = new Maintenance(parts)
  follower.observe(applied => maintenance.follow(applied))
  const tokenIssuer = new TokenIssuer({ issuer, ring, random })

  const minted = new MintedTokens({ isPublished: kid => signingKeys.ring.keys.some(key => key.kid === kid) })
  follower.observe(() => minted.clear())
  const standings = new KeyStandings({ database: directoryDatabase, follower, clock })
  database.onCommit(async changes => standings.note(changes))
  const { gatewayAudience } = config
  const door = new Door({
    audience: gatewayAudience,
    model: config.gatewayModel,
    keyHeaders: config.gatewayKeyHeaders,
    authenticator,
    issuer: tokenIssuer,
    minted,
    exchanged: ({ keyId, at }) => deferred.count(keyId, 'exchanged', at),
    tokens: new TokenReader({ ring, issuer, audience: gatewayAudience, scope: DOOR_SCOPE }),
    standingOf: holder => standings.of(holder),
    now,
  })

  const readiness = new ReadinessGate({ clock, logger })
  const outcomes = newExchangeOutcomes()
  const metrics = new Metrics()
  const stopProcessMetrics = registerProcessMetrics(metrics, clock)
  const pools = { main: database, directory: directoryDatabase }
  registerServiceMetrics(metrics, { ...parts, maintenance, readiness, outcomes, fallback, listener, pools })

  const { trustedProxies } = config
  const shared = { logger, clock, random, trustedProxies, noteDuration: requestDurations(metrics) }
  const app = ({ name }: Listener) => createApp({ listener: name, ...shared })
  const answerPublic = mountPublicRoutes(app(listeners.public), {
    issuer,
    jwksMaxAgeSeconds: () => jwksMaxAgeSeconds(maintenance.policy),
    ring,
    authenticator,
    deferred,
    tokenIssuer,
    readiness,
    outcomes,
  })
  const { app: adminApp } = app(listeners.admin)
  const auth = new AdminAuth({
    rootTokens: config.rootTokens,
    tokens: adminTokens,
    failures: new FailureLimit({ perMinute: config.adminFailuresPerMinute }),
  })
  const administered = {
    database,
    tenants,
    tiers,
    models,
    keys,
    adminTokens,
    signingKeys,
    replicas,
    trail,
    importedClients,
  }
  const idempotency = new IdempotencyKeys({ database })
  mountAdminRoutes(adminApp, { ...administered, auth, idempotency, refusals, readiness })
  const {
    app: gatewayApp,
    options: { trusts },
  } = app(listeners.gateway)
  const readsBody = config.gatewayModel.from === 'body'
  mountGatewayRoutes(gatewayApp, { door, readsBody, readiness, now })
  const { app: opsApp } = app(listeners.ops)
  mountMetrics(opsApp, metrics)
  mountHealth(opsApp, readiness)

  listeners.public.serve(answerPublic)
  listeners.admin.serve(adminApp)
  listeners.gateway.serve(gatewayApp)
  const grpcService = authorizationService({ door, readiness, trusts, clock, logger })
  listeners.gatewayGrpc.serve(AUTHORIZATION_SERVICE, grpcService, readiness)
  listeners.ops.serve(opsApp)

  const urls = {
    public: url(config.publicAddress.host, listeners.public),
    admin: url(config.adminAddress.host, listeners.admin),
    gateway: url(config.gatewayAddress.host, listeners.gateway),
    gatewayGrpc: url(config.gatewayGrpcAddress.host, listeners.gatewayGrpc),
    ops: url(config.opsAddress.host, listeners.ops),
  }
  const ready = readiness
    .until(() => maintenance.prepare())
    .then(() => {
      if (!readiness.ready) return
      maintenance.start()
      listener.start()
      logger.info({ issuer, ...urls }, 'ready')
    })

  let stopping: Promise<void> | undefined
  const stop = async () => {
    readiness.drain()
    logger.info('draining')
    if (!readiness.serving) follower.stop()
    await ready
    // The ops listener goes last, so that a prober sees "draining" and not a closed port.
    await Promise.all([
      listeners.public.close(DRAIN_DEADLINE_MS),
      listeners.admin.close(DRAIN_DEADLINE_MS),
      listeners.gateway.close(DRAIN_DEADLINE_MS),
      listeners.gatewayGrpc.close(DRAIN_DEADLINE_MS),
      listener.stop(),
    ])
    maintenance.stop()
    await deferred.drain()
    await inTime(clock, LAST_REFUSALS_MS, refusals.flush()).catch(() => {})
    await Promise.all([listeners.ops.close(OPS_DEADLINE_MS, 0), replicas.leave().catch(() => {})])
    follower.stop()
    fallback.stop()
    stopProcessMetrics()
    await Promise.all([database.close(), directoryDatabase.close()])
    logger.info('stopped')
  }
  return {
    issuer,
    urls,
    ready,
    directory: follower,
    get isReady() {
      return readiness.ready
    },
    get reason() {
      return readiness.reason
    },
    stop: () => {
      stopping ??= stop()
      return stopping
    },
  }
}
