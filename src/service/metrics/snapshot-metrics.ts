import type { Metrics } from '../../system/metrics.ts'
import type { Parts } from '../parts.ts'
import type { ReadinessGate } from '../readiness.ts'

/** Registers the metrics of snapshots. Ages and sizes are 0 without MINTMARK_SNAPSHOT_DIR. */
export function registerSnapshots(
  metrics: Metrics,
  {
    system,
    storage,
    snapshots: { snapshots, extension, statistics },
    readiness,
  }: Pick<Parts, 'system' | 'storage' | 'snapshots'> & { readiness: ReadinessGate },
): void {
  const registeredAt = system.clock.monotonicMs()
  metrics.gauge(
    'mintmark_snapshot_serving',
    '1 while this process serves from a snapshot because the database did not answer at its start, else 0.',
    'max',
    () => readiness.fromSnapshot,
  )
  metrics.gauge(
    'mintmark_snapshot_age_seconds',
    'Time since this process last wrote its snapshot, or since its start. About a minute in normal operation.',
    'max',
    () => (snapshots ? (system.clock.monotonicMs() - (statistics.writtenAt ?? registeredAt)) / 1000 : 0),
  )
  metrics.gauge(
    'mintmark_snapshot_bytes',
    'Size of the last snapshot that this process wrote.',
    'sum',
    () => statistics.bytes ?? 0,
  )
  metrics.gauge(
    'mintmark_snapshot_write_seconds',
    'Time that the last write of a snapshot took. The process answers requests meanwhile.',
    'max',
    () => statistics.seconds ?? 0,
  )
  metrics.counter('mintmark_snapshots_written_total', 'Snapshots written.', () => statistics.written)
  metrics.counter(
    'mintmark_snapshot_failures_total',
    'Snapshots that could not be written.',
    () => statistics.failed,
  )
  metrics.gauge(
    'mintmark_staleness_extended_seconds',
    'Remaining time of an emergency extension of the staleness limit; 0 without one.',
    'max',
    () => {
      const until = extension?.current?.until
      return until === undefined ? 0 : (until - storage.time.now()) / 1000
    },
  )
}
