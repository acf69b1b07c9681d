import type { Express, RequestHandler } from 'express'
import { onlyMethods } from './server.ts'

/** Whether this process should get traffic, and if not, why not, in words for an operator. */
export interface Readiness {
  readonly ready: boolean
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
}

/** Answers 503 through the error handler of its listener until the process is ready. `unready` makes the error. */
export function whenReady(readiness: Readiness, unready: (reason: string) => Error): RequestHandler {
  return (_req, _res, next) => next(readiness.ready ? undefined : unready(readiness.reason))
}
