import { by, type Metrics } from '../../system/metrics.ts'
import type { Parts } from '../parts.ts'

/** Registers the metrics of gateways that keep the deny list. Their names are those of the configuration. */
export function registerGateways(metrics: Metrics, { directory }: Pick<Parts, 'directory'>): void {
  const { connections } = directory
  metrics.gauge(
    'mintmark_xds_gateways',
    'Connections of gateways that receive the list of revoked tokens from this replica, by registered name. other: gateways without a name.',
    'sum',
    () => by('gateway', connections.counts),
    ['gateway'],
  )
  metrics.gauge(
    'mintmark_xds_gateways_behind_seconds',
    'Longest time that a gateway connected to this replica has been without the current list of revoked tokens; 0 if all have it.',
    'max',
    () => connections.behindMs / 1000,
  )
  metrics.counter(
    'mintmark_xds_lists_rejected_total',
    'Lists of revoked tokens that gateways rejected.',
    () => connections.rejectedLists,
  )
}
