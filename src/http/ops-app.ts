import type { ErrorRequestHandler } from 'express'
import { createExpress, expressApplication, onlyMethods } from './express-app.ts'
import type { Readiness } from './health.ts'
import type { Application } from './listener.ts'
import { type MetricsSource, mountMetrics } from './metrics-page.ts'
import { RequestError, toRequestError } from './request-error.ts'
import { eventOf } from './request-event.ts'

/**
 * The application of the ops listener. `/livez`: the process responds. `/readyz`: it can exchange keys for tokens, or
 * the reason why not. A warning says what fails although it is ready. `/metrics`: for Prometheus.
 */
export function opsApp({
  readiness,
  metrics,
}: {
  /** `warning`: why it can only exchange the keys that it has in memory; '': nothing. */
  readiness: Readiness & { readonly warning: string }
  metrics: MetricsSource
}): Application {
  const app = createExpress()
  mountMetrics(app, metrics)
  app
    .route('/livez')
    .get((_req, res) => void res.json({ status: 'alive' }))
    .all(onlyMethods('GET'))
  app
    .route('/readyz')
    .get((_req, res) => {
      const { ready, warning } = readiness
      if (ready) res.json({ status: 'ready', ...(warning !== '' && { warning }) })
      else res.status(503).set('Retry-After', '1').json({ status: 'unready', reason: readiness.reason })
    })
    .all(onlyMethods('GET'))
  return expressApplication(app, errorHandler)
}

/** Express's own error page shows the path and, outside production, a stack trace. */
const errorHandler: ErrorRequestHandler = (thrown, _req, res, next) => {
  if (res.headersSent) return next(thrown)
  const error = toRequestError(thrown)
  if (error instanceof RequestError) {
    res.status(error.status).set(error.headers).json({ error: error.message })
  } else {
    eventOf(res).error = thrown
    res.status(500).json({ error: 'Internal error. The log of the service has the cause.' })
  }
}
