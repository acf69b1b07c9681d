import type { Express } from 'express'
import type { Authenticator } from '../api-keys/authenticator.ts'
import type { DeferredWrites } from '../api-keys/deferred-writes.ts'
import { rawBody } from '../http/body.ts'
import { type Readiness, whenReady } from '../http/health.ts'
import { RequestError } from '../http/request-error.ts'
import { onlyMethods } from '../http/server.ts'
import type { KeyRing } from '../signing-keys/jwks.ts'
import type { TokenIssuer } from '../tokens/token-issuer.ts'
import { countRefusals, type ExchangeOutcomes } from './exchange-outcomes.ts'
import { jwks, metadata, PATHS, pem } from './metadata.ts'
import { oauthErrorHandler, unavailable } from './oauth-error.ts'
import { tokenEndpoint } from './token-endpoint.ts'

const LONGEST_FORM_BYTES = 16_384

/** What the public listener answers. An issuer with a path is served with it and without, as proxies strip it or not. */
export function mountPublicRoutes(
  app: Express,
  options: {
    issuer: string
    signingAlg: () => string
    jwksMaxAgeSeconds: () => number
    ring: () => KeyRing
    authenticator: Authenticator
    deferred: DeferredWrites
    tokenIssuer: TokenIssuer
    readiness: Readiness
    outcomes: ExchangeOutcomes
  },
): void {
  const {
    issuer,
    signingAlg,
    jwksMaxAgeSeconds,
    ring,
    authenticator,
    deferred,
    tokenIssuer,
    readiness,
    outcomes,
  } = options
  const path = literal(new URL(issuer).pathname.replace(/\/$/, ''))
  const at = (route: string) => (path === '' ? [route] : [route, path + route])
  const ready = whenReady(readiness, reason => unavailable(new Error(reason)))
  const token = tokenEndpoint({ authenticator, issuer: tokenIssuer, deferred, outcomes })
  const describe = metadata(issuer, signingAlg)
  for (const route of at(PATHS.token)) {
    app
      .route(route)
      .post(ready, rawBody(LONGEST_FORM_BYTES), token, countRefusals(outcomes))
      .all(onlyMethods('POST'))
  }
  for (const route of at(PATHS.jwks))
    app.route(route).get(ready, jwks(ring, jwksMaxAgeSeconds)).all(onlyMethods('GET'))
  for (const route of at(PATHS.pem))
    app.route(route).get(ready, pem(ring, jwksMaxAgeSeconds)).all(onlyMethods('GET'))
  // RFC 8414 §3.1 puts an issuer's path after the well-known segment, OpenID Connect Discovery §4 before it.
  for (const route of [...at(PATHS.openid), PATHS.oauth, ...(path === '' ? [] : [PATHS.oauth + path])]) {
    app.route(route).get(ready, describe).all(onlyMethods('GET'))
  }
  app.use((_req, _res, next) => next(new RequestError(404, 'There is nothing here.')))
  app.use(oauthErrorHandler)
}

/** An issuer's path is text: what Express would read as a pattern in it is escaped. */
const literal = (path: string) => path.replace(/[\\{}()[\]?+!*:]/g, '\\$&')
