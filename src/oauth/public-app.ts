import type { AuditedRefusals } from '../audit/audited-refusals.ts'
import type { Authenticator } from '../authentication/authenticator.ts'
import type { DeferredWrites } from '../authentication/deferred-writes.ts'
import type { Workloads } from '../authentication/workloads.ts'
import type { Readiness } from '../http/health.ts'
import type { Application } from '../http/listener.ts'
import { type Route, routeTable } from '../http/route-table.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import type { TokenRevocations } from '../token-revocations/token-revocations.ts'
import type { TokenIssuer } from '../tokens/token-issuer.ts'
import { ExchangeCounts, type ExchangeOutcomes } from './exchange-outcomes.ts'
import { type IntrospectionParts, introspectionEndpoint } from './introspection-endpoint.ts'
import { jwks, metadata, PATHS, pem } from './metadata.ts'
import { refuse } from './oauth-error.ts'
import { revocationEndpoint } from './revocation-endpoint.ts'
import { parseSdkRequest } from './sdk-request.ts'
import { type ParseRequest, tokenEndpoint } from './token-endpoint.ts'
import { parseTokenRequest } from './token-request.ts'

interface PublicOptions {
  issuer: string
  jwksMaxAgeSeconds: () => number
  ring: () => KeyRing
  authenticator: Authenticator
  workloads: Workloads
  refusals: AuditedRefusals
  deferred: DeferredWrites
  tokenIssuer: TokenIssuer
  readiness: Readiness
  outcomes: ExchangeOutcomes
  afterPause: () => Promise<void> | undefined
  introspection: IntrospectionParts
  revocations: TokenRevocations
}

/** The application of the public listener. Errors have the format of RFC 6749. */
export function publicApp(options: PublicOptions): Application {
  return routeTable({ routes: publicRoutes(options), readiness: options.readiness, refuse })
}

/**
 * An issuer with a path is served with and without it, because proxies may strip it. RFC 8414 §3.1 puts the path after
 * the well-known segment; OpenID Connect Discovery §4 puts it before, as do all other routes.
 */
function publicRoutes(options: PublicOptions): Route[] {
  const { issuer, jwksMaxAgeSeconds, ring } = options
  const document = { methods: ['GET'], handle: metadata(issuer, ring) }
  const routes: Route[] = [
    exchangeRoute(options, PATHS.token, parseTokenRequest),
    exchangeRoute(options, PATHS.sdkToken, parseSdkRequest),
    ...tokenRoutes(options),
    { methods: ['GET'], path: PATHS.jwks, handle: jwks(ring, jwksMaxAgeSeconds), polled: true },
    { methods: ['GET'], path: PATHS.pem, handle: pem(ring, jwksMaxAgeSeconds) },
    { ...document, path: PATHS.openid },
  ]
  const base = new URL(issuer).pathname.replace(/\/$/, '')
  const below = base === '' ? [] : routes.map(route => ({ ...route, path: base + route.path }))
  const places = [...new Set([PATHS.oauth, PATHS.oauth + base])]
  return [...routes, ...below, ...places.map(path => ({ ...document, path }))]
}

/** Revocation and introspection. */
function tokenRoutes(options: PublicOptions): Route[] {
  const { introspection } = options
  const { tokens, denyList } = introspection
  const methods = ['POST']
  return [
    { methods, path: PATHS.revoke, handle: revocationEndpoint({ ...options, tokens, denyList }) },
    { methods, path: PATHS.introspect, handle: introspectionEndpoint(introspection) },
  ]
}

function exchangeRoute(options: PublicOptions, path: string, parse: ParseRequest): Route {
  const counts = new ExchangeCounts(options)
  return {
    methods: ['POST'],
    path,
    handle: tokenEndpoint({ ...options, counts, parse }),
    refuse: (thrown, res) => {
      counts.refused(thrown, res)
      refuse(thrown, res)
    },
  }
}
