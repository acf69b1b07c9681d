import type { Express } from 'express'
import type { Metrics } from '../system/metrics.ts'
import { onlyMethods } from './express-app.ts'

/** The metrics of this process, or of several. */
export type MetricsSource = Pick<Metrics, 'contentType' | 'render'>

/** `/metrics` for Prometheus. Available before the process is ready; makes no requests to others. */
export function mountMetrics(app: Express, metrics: MetricsSource): void {
  app
    .route('/metrics')
    .get(async (_req, res) => void res.set('Content-Type', metrics.contentType).send(await metrics.render()))
    .all(onlyMethods('GET'))
}
