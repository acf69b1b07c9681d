import { by, type Metrics } from '../../system/metrics.ts'
import type { Parts } from '../parts.ts'

/** Registers the metrics of usage. The labels are fixed: no name of a tenant, key, model or reporter. */
export function registerUsage(metrics: Metrics, { usage: { records } }: Pick<Parts, 'usage'>): void {
  metrics.counter(
    'mintmark_usage_records_total',
    'Records of usage that were received, by result: counted, repeated, ignored because no token was verified, or rejected and why.',
    () => by('result', records.outcomes),
    ['result'],
  )
}
