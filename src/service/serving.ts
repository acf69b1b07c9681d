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
import { buildDoor } from './door.ts'
import { type Listeners, url } from './listeners.ts'
import type { Maintenance } from './maintenance.ts'
import type { Parts } from './parts.ts'
import type { ReadinessGate } from './readiness.ts'

export interface Served extends Parts {
  maintenance: Maintenance
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

/** Gives every listener what it answers from now on. */
export function serve(listeners: Listeners, served: Served): void {
  const { clock, random, logger, metrics } = served
  const noteDuration = requestDurations(metrics)
  const shared = { clock, random, logger, noteDuration, trustedProxies: served.config.trustedProxies }
  const app = ({ name }: Listener) => createApp({ listener: name, ...shared })
  servePublic(listeners, app(listeners.public), served)
  serveAdmin(listeners, app(listeners.admin), served)
  serveGateway(listeners, app(listeners.gateway), { ...served, noteDuration })
  serveOps(listeners, app(listeners.ops), served)
}

function servePublic(listeners: Listeners, app: App, served: Served): void {
  const maxAge = () => jwksMaxAgeSeconds(served.maintenance.policy)
  listeners.public.serve(mountPublicRoutes(app, { ...served, jwksMaxAgeSeconds: maxAge }))
}

function serveAdmin(listeners: Listeners, { app }: App, served: Served): void {
  mountAdminRoutes(app, served)
  listeners.admin.serve(app)
}

/** One door, asked over HTTP and over gRPC. */
function serveGateway(listeners: Listeners, app: App, served: Served & { noteDuration: NoteDuration }): void {
  const { config, readiness, time, clock, logger, noteDuration } = served
  const { trusts } = app.options
  const door = buildDoor(served)
  const readsBody = config.gatewayModel.from === 'body'
  listeners.gateway.serve(mountGatewayRoutes(app, { door, readsBody, readiness, now: () => time.now() }))
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
