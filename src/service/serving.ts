import { adminApp } from '../admin/admin-app.ts'
import type { Config } from '../config/config.ts'
import { jwksMaxAgeSeconds } from '../config/rotation-policy.ts'
import { AUTHORIZATION_SERVICE, authorizationService } from '../gateway/grpc-check.ts'
import { gatewayApp } from '../gateway/http-check.ts'
import { trusting } from '../http/express-app.ts'
import type { RequestServices } from '../http/listener.ts'
import { opsApp } from '../http/ops-app.ts'
import { requestDurations } from '../http/request-durations.ts'
import type { ExchangeOutcomes } from '../oauth/exchange-outcomes.ts'
import { publicApp } from '../oauth/public-app.ts'
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
  stopProcessMetrics: () => void
}

/** Base URLs of the listeners as this machine reaches them. */
export interface Urls {
  public: string
  admin: string
  gateway: string
  gatewayGrpc: string
  ops: string
}

/** Mounts the applications on their listeners. */
export function serve(listeners: Listeners, served: Served): void {
  const { random, logger } = served
  const noteDuration = requestDurations(served.metrics)
  const services = { random, logger, noteDuration, trusts: trusting(served.config.trustedProxies) }
  const maxAge = () => jwksMaxAgeSeconds(served.maintenance.policy)
  listeners.public.serve(publicApp({ ...served, jwksMaxAgeSeconds: maxAge }), services)
  listeners.admin.serve(adminApp(served), services)
  serveGateway(listeners, services, served)
  listeners.ops.serve(opsApp(served), services)
}

/** One door, asked over HTTP and over gRPC. */
function serveGateway(listeners: Listeners, services: RequestServices, served: Served): void {
  const { config, readiness, time, clock } = served
  const door = buildDoor(served)
  const readsBody = config.gatewayModel.from === 'body'
  listeners.gateway.serve(gatewayApp({ door, readsBody, readiness, now: () => time.now() }), services)
  const overGrpc = authorizationService({ door, readiness, clock, ...services })
  listeners.gatewayGrpc.serve(AUTHORIZATION_SERVICE, overGrpc, readiness)
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
