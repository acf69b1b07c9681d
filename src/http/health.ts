import type { ErrorRequestHandler, Express, RequestHandler } from 'express'
import type { DirectHandler } from './direct-routes.ts'
import { eventOf } from './request-context.ts'
import { RequestError, toRequestError } from './request-error.ts'
import { onlyMethods } from './server.ts'

/** Whether this process should get traffic, and if not, why not, in words for an operator. */
export interface Readiness {
  readonly ready: boolean
  /** Requests that reach it are answered: ready, or draining after that. */
  readonly serving: boolean
  readonly reason: string
}

/** `/livez`: the process answers. `/readyz`: it can exchange keys for tokens, or says what keeps it from it. */
export function mountHealth(app: Express, readiness: Readiness): void {
  app
    .route('/livez')
    .get((_req, res) => void res.json({ status: 'alive' }))
    .all(onlyMethods('GET'))
  app
    .route('/readyz')
    .get((_req, res) => {
      if (readiness.ready) res.json({ status: 'ready' })
      else res.status(503).set('Retry-After', '1').json({ status: 'unready', reason: readiness.reason })
    })
    .all(onlyMethods('GET'))
  app.use((_req, _res, next) => next(new RequestError(404, 'There is nothing here.')))
  app.use(errorHandler)
}

/** Express would answer with a page that shows the path, and outside production a stack. */
const errorHandler: ErrorRequestHandler = (thrown, _req, res, next) => {
  if (res.headersSent) return next(thrown)
  const error = toRequestError(thrown)
  if (error instanceof RequestError) {
    res.status(error.status).set(error.headers).json({ error: error.message })
  } else {
    eventOf(res).error = thrown
    res.status(500).json({ error: 'The service met an unexpected fault.' })
  }
}

/** Answers 503 through the error handler of its listener until the process has been ready. `unready` makes the error. */
export function whenReady(readiness: Readiness, unready: (reason: string) => Error): RequestHandler {
  return (_req, _res, next) => next(readiness.serving ? undefined : unready(readiness.reason))
}

/** The same for a route that is answered without Express. */
export function directWhenReady(
  readiness: Readiness,
  unready: (reason: string) => Error,
  handle: DirectHandler,
): DirectHandler {
  return (req, res) => {
    if (!readiness.serving) throw unready(readiness.reason)
    return handle(req, res)
  }
}
