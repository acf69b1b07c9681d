import { by, type Metrics } from '../../system/metrics.ts'
import type { Parts } from '../parts.ts'

/** Registers the metrics of gateways that keep the deny list. Their names are those of the configuration. */
export function registerGateways(metrics: Metrics, { directory }: Pick<Parts, 'directory'>): void {
  const { connections } = directory
  metrics.gauge(
    'mintmark_xds_gateways',
    'Connections of gateways that receive the list of revoked tokens from this replica, by registered name. other: without one.',
    'sum',
    () => by('gateway', connections.counts),
    ['gateway'],
  )
  metrics.gauge(
    'mintmark_xds_gateways_behind_seconds',
    'Time since a gateway that is connected to this replica lacks the current list of revoked tokens: of the gateway for which it is longest; 0 if none does.',
    'max',
    () => connections.behindMs / 1000,
  )
  metrics.counter(
    'mintmark_xds_lists_rejected_total',
    'Lists of revoked tokens that gateways rejected.',
    () => connections.rejectedLists,
  )
}
