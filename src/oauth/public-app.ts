import type { Authenticator } from '../authentication/authenticator.ts'
import type { DeferredWrites } from '../authentication/deferred-writes.ts'
import type { Readiness } from '../http/health.ts'
import type { Application } from '../http/listener.ts'
import { type Handler, type Refuse, type Route, routeTable } from '../http/route-table.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import type { TokenIssuer } from '../tokens/token-issuer.ts'
import { ExchangeCounts, type ExchangeOutcomes } from './exchange-outcomes.ts'
import { jwks, metadata, PATHS, pem } from './metadata.ts'
import { refuse } from './oauth-error.ts'
import { tokenEndpoint } from './token-endpoint.ts'

interface PublicOptions {
  issuer: string
  jwksMaxAgeSeconds: () => number
  ring: () => KeyRing
  authenticator: Authenticator
  deferred: DeferredWrites
  tokenIssuer: TokenIssuer
  readiness: Readiness
  outcomes: ExchangeOutcomes
}

/** What the public listener answers. Errors are in RFC 6749's vocabulary. */
export function publicApp(options: PublicOptions): Application {
  return routeTable({ routes: publicRoutes(options), readiness: options.readiness, refuse })
}

/**
 * An issuer with a path is served with it and without, as proxies strip it or not. RFC 8414 §3.1 puts the path after the
 * well-known segment, OpenID Connect Discovery §4 before it.
 */
function publicRoutes(options: PublicOptions): Route[] {
  const { issuer, jwksMaxAgeSeconds, ring, authenticator, tokenIssuer } = options
  const counts = new ExchangeCounts(options)
  const path = new URL(issuer).pathname.replace(/\/$/, '')
  const at = (place: string) => [...new Set([place, path + place])]
  const post = (paths: string[], handle: Handler, refuse: Refuse): Route[] =>
    paths.map(path => ({ methods: ['POST'], path, handle, refuse }))
  const get = (paths: string[], handle: Handler, polled = false): Route[] =>
    paths.map(path => ({ methods: ['GET'], path, handle, polled }))
  return [
    ...post(at(PATHS.token), tokenEndpoint({ authenticator, issuer: tokenIssuer, counts }), (thrown, res) => {
      counts.refused(thrown, res)
      refuse(thrown, res)
    }),
    ...get(at(PATHS.jwks), jwks(ring, jwksMaxAgeSeconds), true),
    ...get(at(PATHS.pem), pem(ring, jwksMaxAgeSeconds)),
    ...get(
      [...new Set([...at(PATHS.openid), PATHS.oauth + path, ...at(PATHS.oauth)])],
      metadata(issuer, ring),
    ),
  ]
}
