import type { RequestListener, ServerResponse } from 'node:http'
import type { Express } from 'express'
import type { Authenticator } from '../authentication/authenticator.ts'
import type { DeferredWrites } from '../authentication/deferred-writes.ts'
import { directRoutes, exactly } from '../http/direct-routes.ts'
import { directWhenReady, type Readiness, whenReady } from '../http/health.ts'
import { RequestError } from '../http/request-error.ts'
import { type ListenerOptions, onlyMethods } from '../http/server.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import type { TokenIssuer } from '../tokens/token-issuer.ts'
import { countRefusal, type ExchangeOutcomes } from './exchange-outcomes.ts'
import { jwks, metadata, PATHS, pem } from './metadata.ts'
import { oauthErrorHandler, refuse, unavailable } from './oauth-error.ts'
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

/**
 * What the public listener answers: the two busy routes directly, the others by `app`. An issuer with a path is served
 * with it and without, as proxies strip it or not.
 */
export function mountPublicRoutes(
  { app, options: listener }: { app: Express; options: ListenerOptions },
  options: PublicOptions,
): RequestListener {
  const { issuer, jwksMaxAgeSeconds, ring, readiness } = options
  const path = literal(pathOf(issuer))
  const at = (route: string) => (path === '' ? [route] : [route, path + route])
  const ready = whenReady(readiness, unready)
  const describe = metadata(issuer, ring)
  for (const route of at(PATHS.token)) app.route(route).all(onlyMethods('POST'))
  for (const route of at(PATHS.jwks)) app.route(route).all(onlyMethods('GET'))
  for (const route of at(PATHS.pem))
    app.route(route).get(ready, pem(ring, jwksMaxAgeSeconds)).all(onlyMethods('GET'))
  // RFC 8414 §3.1 puts an issuer's path after the well-known segment, OpenID Connect Discovery §4 before it.
  for (const route of [...at(PATHS.openid), PATHS.oauth, ...(path === '' ? [] : [PATHS.oauth + path])]) {
    app.route(route).get(ready, describe).all(onlyMethods('GET'))
  }
  app.use((_req, _res, next) => next(new RequestError(404, 'There is nothing here.')))
  app.use(oauthErrorHandler)
  return directRoutes(listener, exactly(busyRoutes(options)), app)
}

function busyRoutes(options: PublicOptions): Parameters<typeof exactly>[0] {
  const { issuer, jwksMaxAgeSeconds, ring, tokenIssuer, readiness, outcomes } = options
  const token = {
    methods: ['POST'],
    handle: directWhenReady(readiness, unready, tokenEndpoint({ ...options, issuer: tokenIssuer })),
    refuse: (thrown: unknown, res: ServerResponse) => {
      countRefusal(outcomes, thrown, res)
      refuse(thrown, res)
    },
  }
  const keys = {
    methods: ['GET', 'HEAD'],
    polled: true as const,
    handle: directWhenReady(readiness, unready, jwks(ring, jwksMaxAgeSeconds)),
    refuse,
  }
  return [...new Set(['', pathOf(issuer)])].flatMap(before => [
    { ...token, path: before + PATHS.token },
    { ...keys, path: before + PATHS.jwks },
  ])
}

const unready = (reason: string) => unavailable(new Error(reason))
const pathOf = (issuer: string) => new URL(issuer).pathname.replace(/\/$/, '')

/** An issuer's path is text: what Express would read as a pattern in it is escaped. */
const literal = (path: string) => path.replace(/[\\{}()[\]?+!*:]/g, '\\$&')
