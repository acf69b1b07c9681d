import { adminApp } from '../admin/admin-app.ts'
import { Decisions } from '../admin/explain/decisions.ts'
import type { Explaining } from '../admin/explain/explanation-wire.ts'
import { explain } from '../authentication/explanation.ts'
import type { Config } from '../config/config.ts'
import { jwksMaxAgeSeconds } from '../config/rotation-policy.ts'
import { authorizationService } from '../gateway/grpc-check.ts'
import { CONTRACT_NUMBER, REQUIRED_SCOPE } from '../gateway/headers.ts'
import { gatewayApp } from '../gateway/http-check.ts'
import type { NoteRefusal } from '../http/access-log.ts'
import { trusting } from '../http/caller-address.ts'
import type { RequestServices } from '../http/listener.ts'
import { opsApp } from '../http/ops-app.ts'
import type { RefusalQuery } from '../http/recent-refusals.ts'
import { requestDurations } from '../http/request-durations.ts'
import { UnexpectedProxies } from '../http/unexpected-proxy.ts'
import type { ExchangeOutcomes } from '../oauth/exchange-outcomes.ts'
import type { IntrospectionParts } from '../oauth/introspection-endpoint.ts'
import { publicApp } from '../oauth/public-app.ts'
import type { Metrics } from '../system/metrics.ts'
import { logsService } from '../telemetry/otlp-grpc.ts'
import { otlpReceiver } from '../telemetry/otlp-receiver.ts'
import { ReportQueue } from '../telemetry/report-queue.ts'
import { Gateways } from '../token-revocations/gateways.ts'
import { TokenReader } from '../tokens/token-reader.ts'
import { GatewayRevocations } from './gateway-revocations.ts'
import { countClosedConnections, type Listeners, url } from './listeners.ts'
import type { Parts } from './parts.ts'
import type { ReadinessGate } from './readiness.ts'
import { refusalsElsewhere } from './remembered-refusals.ts'

/** The parts that the listeners serve. */
export type Served = Pick<
  Parts,
  | 'config'
  | 'system'
  | 'storage'
  | 'directory'
  | 'issuer'
  | 'policy'
  | 'signing'
  | 'authentication'
  | 'administration'
  | 'gateway'
  | 'pauses'
  | 'usage'
  | 'follower'
  | 'snapshots'
  | 'remembered'
> & {
  readiness: ReadinessGate
  outcomes: ExchangeOutcomes
  metrics: Metrics
}

/** Base URLs of the listeners on this machine. */
export interface Urls {
  public: string
  admin: string
  gateway: string
  gatewayGrpc: string
  /** undefined where no usage is received. */
  otlpHttp: string | undefined
  otlpGrpc: string | undefined
  ops: string
}

/** Mounts the applications on their listeners. */
export function serve(listeners: Listeners, served: Served): void {
  const { config, policy, readiness, outcomes } = served
  const { random, logger, tracing } = served.system
  const { ring, tokenIssuer } = served.signing
  const { authenticator, workloads, deferred } = served.authentication
  const { refusals } = served.administration
  const noteDuration = requestDurations(served.metrics)
  countClosedConnections(listeners, served.metrics)
  const { recent } = served.remembered
  const noteRefusal: NoteRefusal = (line, at) => recent.note(line, at)
  const proxies = new UnexpectedProxies(logger)
  served.metrics.counter(
    'mintmark_untrusted_proxy_requests_total',
    'Requests forwarded by a proxy on a private address that is not in MINTMARK_TRUSTED_PROXIES.',
    () => proxies.requests,
  )
  const trusted = trusting(config.trustedProxies)
  const trusts = proxies.watching(trusted)
  const services = { random, logger, noteDuration, noteRefusal, trusts, tracing }
  const keys = { issuer: served.issuer, ring, jwksMaxAgeSeconds: () => jwksMaxAgeSeconds(policy.policy) }
  const afterPause = () => served.pauses.check()
  const exchange = { authenticator, workloads, refusals, tokenIssuer, deferred, outcomes, afterPause }
  const revocations = served.administration.tokenRevocations
  const introspection = introspectionOf(served, afterPause)
  const app = publicApp({ ...keys, ...exchange, revocations, introspection, readiness })
  // Anyone reaches it, and would decide which requests are traced.
  listeners.public.serve(app, { ...services, continuesTraceOf: address => trusted(address, 0) })
  serveAdmin(listeners, services, served)
  serveGateway(listeners, services, served)
  serveUsage(listeners, services, served)
  // Probes and scrapes are not traced.
  listeners.ops.serve(opsApp(served), { ...services, tracing: undefined })
  const { directory, follower, storage } = served
  const source = new GatewayRevocations({
    denyList: directory.denyList,
    follower,
    time: storage.time,
    clock: served.system.clock,
  })
  listeners.xds.serve({ source, connections: directory.connections, logger, now: () => storage.time.now() })
}

function introspectionOf(served: Served, afterPause: () => Promise<void> | undefined): IntrospectionParts {
  const { config, issuer, storage, follower, snapshots } = served
  const { introspectors, denyList, keyStatuses } = served.directory
  const isExtended = () => snapshots.extension?.current !== undefined
  return {
    introspectors,
    denyList,
    failures: served.authentication.failures,
    tokens: new TokenReader({ ring: served.signing.ring, issuer }),
    keyStatusOf: holder => keyStatuses.of(holder),
    isStale: () => follower.stalenessSeconds >= config.stalenessSeconds && !isExtended(),
    afterPause,
    now: () => storage.time.now(),
  }
}

function serveAdmin(listeners: Listeners, services: RequestServices, served: Served): void {
  const { administration, readiness } = served
  const { signingKeys, replicas } = served.signing
  const { database } = served.storage
  const app = adminApp({
    ...administration,
    signingKeys,
    gateways: new Gateways({ replicas, connections: served.directory.connections }),
    replicas,
    database,
    fetched: served.directory.identities.fetched,
    explainAssertion: (assertion, options) =>
      explain(served.directory.identities, assertion, { ...options, now: served.storage.time.now() }),
    explaining: explainingOf(served),
    readiness: readiness.withDatabase,
  })
  listeners.admin.serve(app, services)
}

/** What answers why something is refused. */
function explainingOf(served: Served): Explaining {
  const { config, issuer, storage, administration } = served
  const { denyList, keyStatuses } = served.directory
  const decisions = new Decisions({
    keys: administration.keys,
    tenants: administration.tenants,
    authenticator: served.authentication.authenticator,
    tokensFor: expected => new TokenReader({ ring: served.signing.ring, issuer, ...expected }),
    keyStatusOf: holder => keyStatuses.of(holder),
    denyList,
    now: () => storage.time.now(),
  })
  const { gatewayAudience: audience, gatewayModel: model } = config
  const { recent, questions } = served.remembered
  const elsewhere = (query: RefusalQuery) => refusalsElsewhere(questions, query)
  const gateway = { contract: CONTRACT_NUMBER, issuer, audience, scope: REQUIRED_SCOPE, model }
  return { decisions, recent, elsewhere, gateway }
}

/** Reports of usage over HTTP and over gRPC. */
function serveUsage(listeners: Listeners, services: RequestServices, served: Served): void {
  const { clock } = served.system
  const { reporters, reader, records } = served.usage
  const readiness = served.readiness.withDatabase
  const receiver = { reporters, queue: new ReportQueue({ reader, records, clock }), readiness }
  listeners.otlpHttp.serve(otlpReceiver(receiver), services)
  const { methods, admits } = logsService({ ...receiver, clock, ...services })
  listeners.otlpGrpc.serve(methods, readiness, services.logger, admits)
}

/** The same check over HTTP and over gRPC. */
function serveGateway(listeners: Listeners, services: RequestServices, served: Served): void {
  const { config, storage, readiness } = served
  const { authorizer } = served.gateway
  const { copy } = served.directory
  const readsBody = config.gatewayModel.from === 'body'
  const now = () => storage.time.now()
  const factsOf = (model: string) => copy.factsOf(model)
  const exactReasons = config.gatewayExactReasons
  const app = gatewayApp({ authorizer, readsBody, exactReasons, factsOf, readiness, now })
  listeners.gateway.serve(app, services)
  const overGrpc = authorizationService({ authorizer, readiness, clock: served.system.clock, ...services })
  listeners.gatewayGrpc.serve(overGrpc, readiness, services.logger)
}

export function urlsOf(config: Config, listeners: Listeners): Urls {
  return {
    public: url(config.publicAddress.host, listeners.public),
    admin: url(config.adminAddress.host, listeners.admin),
    gateway: url(config.gatewayAddress.host, listeners.gateway),
    gatewayGrpc: url(config.gatewayGrpcAddress.host, listeners.gatewayGrpc),
    otlpHttp: config.otlpHttpAddress && url(config.otlpHttpAddress.host, listeners.otlpHttp),
    otlpGrpc: config.otlpGrpcAddress && url(config.otlpGrpcAddress.host, listeners.otlpGrpc),
    ops: url(config.opsAddress.host, listeners.ops),
  }
}
