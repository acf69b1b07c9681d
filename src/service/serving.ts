import { mountAdminRoutes } from '../admin/admin-app.ts'
import type { Config } from '../config/config.ts'
import { jwksMaxAgeSeconds } from '../config/rotation-policy.ts'
import { AUTHORIZATION_SERVICE, authorizationService } from '../gateway/grpc-check.ts'
import { mountGatewayRoutes } from '../gateway/http-check.ts'
import { mountHealth } from '../http/health.ts'
import { mountMetrics } from '../http/metrics-page.ts'
import { type NoteDuration, requestDurations } from '../http/request-durations.ts'
import { createApp, type Listener } from '../http/server.ts'
import type { ExchangeOutcomes } from '../oauth/exchange-outcomes.ts'
import { mountPublicRoutes } from '../oauth/public-app.ts'
import type { Metrics } from '../system/metrics.ts'
import { type Listeners, url } from './listeners.ts'
import type { Parts } from './parts.ts'
import type { ReadinessGate } from './readiness.ts'

/** What the listeners answer from. */
export type Served = Pick<
  Parts,
  | 'config'
  | 'system'
  | 'storage'
  | 'issuer'
  | 'policy'
  | 'signing'
  | 'authentication'
  | 'administration'
  | 'gateway'
> & {
  readiness: ReadinessGate
  outcomes: ExchangeOutcomes
  metrics: Metrics
}

/** Base URLs of the listeners as this machine reaches them. */
export interface Urls {
  public: string
  admin: string
  gateway: string
  gatewayGrpc: string
  ops: string
}

type App = ReturnType<typeof createApp>

/** Mounts the handlers of every listener. */
export function serve(listeners: Listeners, served: Served): void {
  const noteDuration = requestDurations(served.metrics)
  const shared = { ...served.system, noteDuration, trustedProxies: served.config.trustedProxies }
  const app = ({ name }: Listener) => createApp({ listener: name, ...shared })
  servePublic(listeners, app(listeners.public), served)
  serveAdmin(listeners, app(listeners.admin), served)
  serveGateway(listeners, app(listeners.gateway), served, noteDuration)
  serveOps(listeners, app(listeners.ops), served)
}

function servePublic(listeners: Listeners, app: App, served: Served): void {
  const { issuer, signing, authentication, policy, readiness, outcomes } = served
  const { ring, tokenIssuer } = signing
  const { authenticator, deferred } = authentication
  const maxAge = () => jwksMaxAgeSeconds(policy.policy)
  const keys = { issuer, ring, jwksMaxAgeSeconds: maxAge }
  const exchange = { authenticator, tokenIssuer, deferred, outcomes }
  listeners.public.serve(mountPublicRoutes(app, { ...keys, ...exchange, readiness }))
}

function serveAdmin(listeners: Listeners, { app }: App, served: Served): void {
  const { administration, signing, storage, readiness } = served
  const { signingKeys, replicas } = signing
  const { database } = storage
  mountAdminRoutes(app, { ...administration, signingKeys, replicas, database, readiness })
  listeners.admin.serve(app)
}

/** One check, over HTTP and over gRPC. */
function serveGateway(listeners: Listeners, app: App, served: Served, noteDuration: NoteDuration): void {
  const { config, storage, readiness } = served
  const { door } = served.gateway
  const { clock, logger } = served.system
  const { trusts } = app.options
  const readsBody = config.gatewayModel.from === 'body'
  const now = () => storage.time.now()
  listeners.gateway.serve(mountGatewayRoutes(app, { door, readsBody, readiness, now }))
  const overGrpc = authorizationService({ door, readiness, trusts, clock, logger, noteDuration })
  listeners.gatewayGrpc.serve(AUTHORIZATION_SERVICE, overGrpc, readiness)
}

function serveOps(listeners: Listeners, { app }: App, { metrics, readiness }: Served): void {
  mountMetrics(app, metrics)
  mountHealth(app, readiness)
  listeners.ops.serve(app)
}

export function urlsOf(config: Config, listeners: Listeners): Urls {
  return {
    public: url(config.publicAddress.host, listeners.public),
    admin: url(config.adminAddress.host, listeners.admin),
    gateway: url(config.gatewayAddress.host, listeners.gateway),
    gatewayGrpc: url(config.gatewayGrpcAddress.host, listeners.gatewayGrpc),
    ops: url(config.opsAddress.host, listeners.ops),
  }
}
