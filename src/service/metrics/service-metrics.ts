import type { ChangeListener } from '../../database/change-listener.ts'
import type { Database } from '../../database/database.ts'
import type { ExchangeOutcomes } from '../../oauth/exchange-outcomes.ts'
import { standardOutput } from '../../system/log-destination.ts'
import { by, type Metrics } from '../../system/metrics.ts'
import { packageVersion } from '../../system/package-version.ts'
import { registerIdentities } from '../identity-alarms.ts'
import type { Parts } from '../parts.ts'
import type { ReadinessGate } from '../readiness.ts'
import { registerRestores } from '../restores.ts'
import { registerGateways } from './gateway-metrics.ts'
import { registerSigningKeys } from './signing-key-metrics.ts'
import { registerSnapshots } from './snapshot-metrics.ts'
import { registerUsage } from './usage-metrics.ts'

/** The measured objects: they hold plain numbers and do not depend on metrics. */
type Measured = Parts & {
  readiness: ReadinessGate
  outcomes: ExchangeOutcomes
  changeListener: ChangeListener
}

/** Registers the counter of lost log lines of this process. */
export function registerLog(metrics: Metrics): void {
  metrics.counter(
    'mintmark_log_lines_dropped_total',
    'Log lines that were lost because standard output did not take them in time.',
    () => standardOutput().dropped,
  )
}

/** Registers all metrics of the service, except those of requests (http/) and of the process (system/). */
export function registerServiceMetrics(metrics: Metrics, measured: Measured): void {
  registerService(metrics, measured)
  registerDirectory(metrics, measured)
  registerFallback(metrics, measured)
  registerDeferredWrites(metrics, measured)
  registerExpiringKeys(metrics, measured)
  registerDatabase(metrics, measured)
  registerSigningKeys(metrics, measured)
  registerSnapshots(metrics, measured)
  registerIdentities(metrics, measured)
  registerRestores(metrics, measured.trust.tombstones)
  registerUsage(metrics, measured)
  registerGateways(metrics, measured)
}

function registerService(metrics: Metrics, { readiness, outcomes }: Measured): void {
  const build = [{ labels: { version: packageVersion(), node: process.version }, value: 1 }]
  metrics.gauge(
    'mintmark_build_info',
    'Always 1. The labels have the versions of Mintmark and Node.',
    'max',
    () => build,
    ['version', 'node'],
  )
  metrics.gauge('mintmark_ready', '1 if /readyz answers 200, else 0.', 'max', () => readiness.ready)
  metrics.gauge(
    'mintmark_draining',
    '1 while draining before a stop, else 0.',
    'min',
    () => readiness.draining,
  )
  metrics.counter(
    'mintmark_exchanges_total',
    'Requests to the token endpoint by outcome: ok, the reason of a rejection, or an error code.',
    () => by('outcome', outcomes),
    ['outcome'],
  )
  registerLog(metrics)
}

function registerDirectory(
  metrics: Metrics,
  { config, follower, directory, changeListener }: Measured,
): void {
  const { copy } = directory
  metrics.gauge(
    'mintmark_directory_keys',
    'API keys in memory, which are exchanged without a query.',
    'max',
    () => copy.size,
  )
  metrics.gauge(
    'mintmark_directory_max_keys',
    'Limit of API keys in memory (MINTMARK_DIRECTORY_MAX_KEYS).',
    'max',
    () => config.directoryMaxKeys,
  )
  metrics.gauge(
    'mintmark_directory_overflowed',
    '1 if there are more API keys than the limit, so that some need a query at each exchange, else 0.',
    'max',
    () => copy.overflowed,
  )
  metrics.gauge(
    'mintmark_token_revocations',
    'Revocations of issued tokens in memory: the list of revoked tokens.',
    'max',
    () => directory.denyList.size,
  )
  metrics.counter(
    'mintmark_directory_reloads_total',
    'Full reloads of the directory after its position in the change feed was lost.',
    () => follower.reloads,
  )
  metrics.gauge(
    'mintmark_directory_staleness_seconds',
    'Time since this replica last applied all changes. About 0.5 s in normal operation.',
    'max',
    () => follower.stalenessSeconds,
  )
  metrics.gauge(
    'mintmark_directory_staleness_limit_seconds',
    'Limit of the staleness (MINTMARK_STALENESS_SECONDS). Beyond it exchanges are answered 503.',
    'max',
    () => config.stalenessSeconds,
  )
  metrics.gauge(
    'mintmark_feed_position',
    'Position in the change feed: number of the last applied change.',
    'min',
    () => {
      return follower.position === undefined ? undefined : Number(follower.position)
    },
  )
  metrics.gauge(
    'mintmark_feed_lag_changes',
    'Changes in Postgres that this replica had not applied at its last poll.',
    'max',
    () => follower.behind,
  )
  metrics.gauge(
    'mintmark_feed_listening',
    '1 if Postgres notifies this replica of changes, 0 if it polls every 500 ms.',
    'min',
    () => changeListener.listening,
  )
}

function registerFallback(metrics: Metrics, { directory, authentication }: Measured): void {
  const { fallback } = directory
  metrics.gauge(
    'mintmark_lookup_secrets',
    'Imported secrets in memory that clients present without a client_id.',
    'max',
    () => directory.copy.lookups,
  )
  metrics.counter(
    'mintmark_lookup_secret_uses_total',
    'Imported secrets that were presented without a client_id, by outcome. limited: the address had too many failures.',
    () => by('outcome', { ...authentication.lookups.counts }),
    ['outcome'],
  )
  metrics.counter(
    'mintmark_fallback_lookups_total',
    'Lookups of API keys that are not in memory, by outcome. cached: answered by a recent lookup.',
    () => {
      const { queries: _, ...outcomes } = fallback.counts
      return by('outcome', outcomes)
    },
    ['outcome'],
  )
  metrics.counter(
    'mintmark_fallback_queries_total',
    'Queries for API keys that are not in memory. One query looks up many keys.',
    () => fallback.counts.queries,
  )
  metrics.gauge(
    'mintmark_fallback_waiting_requests',
    'Requests that wait for a lookup of an API key.',
    'sum',
    () => fallback.waiting,
  )
}

function registerDeferredWrites(metrics: Metrics, { authentication }: Measured): void {
  const { deferred } = authentication
  metrics.gauge(
    'mintmark_deferred_writes_waiting',
    'Writes that wait for Postgres: times of last use, counts of exchanges, and digests of secrets under the current pepper.',
    'sum',
    () => deferred.waiting,
  )
  metrics.counter(
    'mintmark_deferred_writes_dropped_total',
    'Writes that were lost because the buffer was full: times of last use, counts of exchanges, and digests of secrets under the current pepper.',
    () => deferred.dropped,
  )
}

function registerExpiringKeys(metrics: Metrics, { administration }: Measured): void {
  const { expiring } = administration
  metrics.gauge(
    'mintmark_keys_expiring',
    'API keys of the installation that expire within this time, updated every few minutes. 30d includes 7d.',
    'max',
    () => expiring.counts && by('within', { '7d': expiring.counts.in7Days, '30d': expiring.counts.in30Days }),
    ['within'],
  )
  metrics.gauge(
    'mintmark_used_keys_expiring',
    'API keys that expire within 7 days and were used in the last 7 days.',
    'max',
    () => expiring.counts?.used,
  )
}

function registerDatabase(metrics: Metrics, { storage }: Measured): void {
  const { time } = storage
  const pools = { main: storage.database, directory: storage.directoryDatabase }
  const everyPool = (read: (pool: Database) => number) => () =>
    Object.entries(pools).map(([pool, database]) => ({ labels: { pool }, value: read(database) }))
  metrics.gauge(
    'mintmark_database_connections',
    'Open database connections, by pool and state.',
    'sum',
    () =>
      Object.entries(pools).flatMap(([pool, { connections }]) => [
        { labels: { pool, state: 'idle' }, value: connections.idle },
        { labels: { pool, state: 'in_use' }, value: connections.inUse },
      ]),
    ['pool', 'state'],
  )
  metrics.gauge(
    'mintmark_database_max_connections',
    'Limit of open database connections, by pool.',
    'sum',
    everyPool(({ connections }) => connections.max),
    ['pool'],
  )
  metrics.gauge(
    'mintmark_database_waiting_queries',
    'Queries that wait for a database connection, by pool.',
    'sum',
    everyPool(({ connections }) => connections.waiting),
    ['pool'],
  )
  metrics.gauge(
    'mintmark_clock_offset_seconds',
    'Host clock minus database clock. Tokens use the database clock.',
    'max',
    () => (time.hostAheadMs === undefined ? undefined : time.hostAheadMs / 1000),
  )
}
