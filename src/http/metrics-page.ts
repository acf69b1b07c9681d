import type { Express } from 'express'
import type { Metrics } from '../system/metrics.ts'
import { onlyMethods } from './express-app.ts'

/** `/metrics` for Prometheus. Available before the process is ready; makes no requests to others. */
export function mountMetrics(app: Express, metrics: Metrics): void {
  app
    .route('/metrics')
    .get(async (_req, res) => void res.set('Content-Type', metrics.contentType).send(await metrics.render()))
    .all(onlyMethods('GET'))
}
