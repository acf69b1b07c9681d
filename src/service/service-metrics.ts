import type { ChangeListener } from '../database/change-listener.ts'
import type { Database } from '../database/database.ts'
import type { ExchangeOutcomes } from '../oauth/exchange-outcomes.ts'
import { signingKeyStatuses } from '../signing-keys/signing-key-status.ts'
import { standardOutput } from '../system/log-destination.ts'
import { by, type Metrics } from '../system/metrics.ts'
import { packageVersion } from '../system/package-version.ts'
import type { Parts } from './parts.ts'
import type { ReadinessGate } from './readiness.ts'

/** What is measured: objects that keep plain numbers and know nothing of metrics. */
type Measured = Parts & {
  readiness: ReadinessGate
  outcomes: ExchangeOutcomes
  changeListener: ChangeListener
}

/** Everything that `/metrics` tells of the service, but for the requests (http/) and the process (system/). */
export function registerServiceMetrics(metrics: Metrics, measured: Measured): void {
  registerService(metrics, measured)
  registerDirectory(metrics, measured)
  registerFallback(metrics, measured)
  registerDeferredWrites(metrics, measured)
  registerExpiringKeys(metrics, measured)
  registerDatabase(metrics, measured)
  registerSigningKeys(metrics, measured)
}

function registerService(metrics: Metrics, { readiness, outcomes }: Measured): void {
  const build = [{ labels: { version: packageVersion(), node: process.version }, value: 1 }]
  metrics.gauge('mintmark_build_info', 'Always 1; the labels tell what runs.', () => build, [
    'version',
    'node',
  ])
  metrics.gauge('mintmark_ready', 'Whether /readyz answers 200.', () => readiness.ready)
  metrics.gauge(
    'mintmark_draining',
    'Whether the process was told to stop, and answers what still comes.',
    () => readiness.draining,
  )
  metrics.counter(
    'mintmark_exchanges_total',
    'Requests to the token endpoint, by how they ended: with a token, or the reason or error code of the refusal.',
    () => by('outcome', outcomes),
    ['outcome'],
  )
  metrics.counter(
    'mintmark_log_lines_dropped_total',
    'Log lines that were lost because standard output did not take them in time.',
    () => standardOutput().dropped,
  )
}

function registerDirectory(
  metrics: Metrics,
  { config, follower, directory, changeListener }: Measured,
): void {
  const { copy } = directory
  metrics.gauge('mintmark_directory_keys', 'API keys that are answered from memory.', () => copy.size)
  metrics.gauge(
    'mintmark_directory_max_keys',
    'MINTMARK_DIRECTORY_MAX_KEYS: room for keys in memory.',
    () => config.directoryMaxKeys,
  )
  metrics.gauge(
    'mintmark_directory_overflowed',
    'Whether there are more keys than room, so that some need Postgres at each exchange.',
    () => copy.overflowed,
  )
  metrics.counter(
    'mintmark_directory_reloads_total',
    'How often the place in the change feed was lost and everything was read anew.',
    () => follower.reloads,
  )
  metrics.gauge(
    'mintmark_directory_staleness_seconds',
    'Time since this replica last saw all changes; about half a second while it follows them.',
    () => follower.stalenessSeconds,
  )
  metrics.gauge(
    'mintmark_directory_staleness_limit_seconds',
    'MINTMARK_STALENESS_SECONDS: beyond it known keys are answered 503.',
    () => config.stalenessSeconds,
  )
  metrics.gauge('mintmark_feed_position', 'Number of the last change that was applied.', () => {
    return follower.position === undefined ? undefined : Number(follower.position)
  })
  metrics.gauge(
    'mintmark_feed_lag_changes',
    'Changes that the last poll saw in Postgres and that are not applied yet.',
    () => follower.behind,
  )
  metrics.gauge(
    'mintmark_feed_listening',
    'Whether Postgres notifies this replica of changes; if not, it polls every 500 ms.',
    () => changeListener.listening,
  )
}

function registerFallback(metrics: Metrics, { directory }: Measured): void {
  const { fallback } = directory
  metrics.counter(
    'mintmark_fallback_lookups_total',
    'Keys that the directory did not know, by what asking Postgres gave; remembered: asked a moment ago.',
    () => {
      const { queries: _, ...outcomes } = fallback.counts
      return by('outcome', outcomes)
    },
    ['outcome'],
  )
  metrics.counter(
    'mintmark_fallback_queries_total',
    'Queries for keys that the directory did not know; each asks for many.',
    () => fallback.counts.queries,
  )
  metrics.gauge(
    'mintmark_fallback_waiting_requests',
    'Exchanges that wait for such a query.',
    () => fallback.waiting,
  )
}

function registerDeferredWrites(metrics: Metrics, { authentication }: Measured): void {
  const { deferred } = authentication
  metrics.gauge(
    'mintmark_deferred_writes_waiting',
    'Last uses, counts and re-digests that wait to be written.',
    () => deferred.waiting,
  )
  metrics.counter(
    'mintmark_deferred_writes_dropped_total',
    'Last uses, counts and re-digests that were lost for want of room to wait.',
    () => deferred.dropped,
  )
}

function registerExpiringKeys(metrics: Metrics, { administration }: Measured): void {
  const { expiring } = administration
  metrics.gauge(
    'mintmark_keys_expiring',
    'API keys of the installation that will expire within this time, some minutes ago; the 7d are among the 30d.',
    () => expiring.counts && by('within', { '7d': expiring.counts.in7Days, '30d': expiring.counts.in30Days }),
    ['within'],
  )
  metrics.gauge(
    'mintmark_used_keys_expiring',
    'Of the keys that will expire within 7 days, those that were used in the last 7.',
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
    'Open connections, by pool and whether a query uses them.',
    () =>
      Object.entries(pools).flatMap(([pool, { connections }]) => [
        { labels: { pool, state: 'idle' }, value: connections.idle },
        { labels: { pool, state: 'in_use' }, value: connections.inUse },
      ]),
    ['pool', 'state'],
  )
  metrics.gauge(
    'mintmark_database_max_connections',
    'Connections that the pool may open.',
    everyPool(({ connections }) => connections.max),
    ['pool'],
  )
  metrics.gauge(
    'mintmark_database_waiting_queries',
    'Queries that wait for a connection of the pool.',
    everyPool(({ connections }) => connections.waiting),
    ['pool'],
  )
  metrics.gauge(
    'mintmark_clock_offset_seconds',
    'Clock of this host less clock of the database, which tokens are dated by.',
    () => (time.hostAheadMs === undefined ? undefined : time.hostAheadMs / 1000),
  )
}

function registerSigningKeys(metrics: Metrics, { storage, signing, policy }: Measured): void {
  const { time } = storage
  const statuses = () => signingKeyStatuses(signing.ring(), time.now())
  metrics.gauge(
    'mintmark_signing_keys',
    'Published signing keys, by algorithm and state.',
    () =>
      statuses().flatMap(({ alg, published }) =>
        Object.entries(published).map(([state, value]) => ({ labels: { alg, state }, value })),
      ),
    ['alg', 'state'],
  )
  metrics.gauge(
    'mintmark_signing_key_age_seconds',
    'For how long the key that signs has done so.',
    () => statuses().map(({ alg, signerAgeSeconds }) => ({ labels: { alg }, value: signerAgeSeconds })),
    ['alg'],
  )
  metrics.gauge(
    'mintmark_signing_key_next_activation_seconds',
    'Time until the standby takes over, once that is fixed; negative when it is overdue.',
    () =>
      statuses().map(({ alg, nextActivationSeconds }) => ({ labels: { alg }, value: nextActivationSeconds })),
    ['alg'],
  )
  metrics.gauge(
    'mintmark_signing_key_rotation_interval_seconds',
    'Age at which the policy replaces a signing key.',
    () => policy.policy.rotationIntervalSeconds,
  )
}
