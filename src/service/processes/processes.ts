import cluster from 'node:cluster'
import type { Config } from '../../config/config.ts'
import { trusting } from '../../http/caller-address.ts'
import { opsApp } from '../../http/ops-app.ts'
import { requestDurations } from '../../http/request-durations.ts'
import { systemClock } from '../../system/clock.ts'
import { standardOutput } from '../../system/log-destination.ts'
import type { Logger } from '../../system/logger.ts'
import { ofProcess, renderMerged } from '../../system/merged-metrics.ts'
import { Metrics } from '../../system/metrics.ts'
import { systemRandom } from '../../system/random.ts'
import { bindListeners, countClosedConnections, logListeners, SHARED, urlsAt } from '../listeners.ts'
import { registerLog } from '../metrics/service-metrics.ts'
import { warnWithoutRoot } from '../service.ts'
import { ProcessGroup } from './process-group.ts'

const OPS_DEADLINE_MS = 500

export interface Processes {
  /** Replaces the processes one after another, without a pause of the service. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/**
 * Starts `config.processes` processes of the same program, which share all listeners but the ops listener. That one is
 * served here: `/readyz` and `/metrics` for all of them. docs/decisions/0019-several-processes.md
 *
 * @throws {CannotStart} when a port cannot be used, before any process starts.
 */
export async function startProcesses(config: Config, logger: Logger): Promise<Processes> {
  standardOutput().share()
  warnWithoutRoot(config, logger)
  const listeners = await bindListeners(config, { clock: systemClock, logger })
  // They were bound for the message about a port in use. The processes bind them again, each once it is ready.
  await Promise.all(SHARED.map(name => listeners[name].close(0, 0)))
  const { ops } = listeners
  cluster.schedulingPolicy = cluster.SCHED_RR
  // Node would give each process the parent's inspector port and its number: with --inspect-port=0 a port that it then refuses.
  cluster.setupPrimary({ inspectPort: 0 })
  const group = new ProcessGroup({
    ...{ size: config.processes, clock: systemClock, logger },
    drainDeadlineSeconds: config.drainDeadlineSeconds,
  })
  group.onFirstReady = addresses => {
    const all = { ...addresses, ...(ops.address && { ops: ops.address }) }
    logListeners(all, logger)
    const issuer = config.issuer ?? `http://localhost:${addresses.public?.port}`
    logger.info({ issuer, ...urlsAt(all) }, 'ready')
  }
  const metrics = metricsOf(group, config)
  countClosedConnections(listeners, metrics)
  const page = {
    contentType: metrics.contentType,
    render: async () =>
      renderMerged([ofProcess(await metrics.snapshot(), 'parent'), ...(await group.snapshots())]),
  }
  ops.serve(opsApp({ readiness: group, metrics: page }), {
    logger,
    random: systemRandom,
    noteDuration: requestDurations(metrics),
    trusts: trusting(config.trustedProxies),
  })
  group.start()
  return {
    restart: () => group.restart(),
    stop: async () => {
      logger.info('draining')
      await group.stop()
      await ops.close(OPS_DEADLINE_MS, 0)
      logger.info('stopped')
    },
  }
}

/** Those of the parent: they are merged with the metrics of the processes. */
function metricsOf(group: ProcessGroup, { processes }: Config): Metrics {
  const metrics = new Metrics()
  metrics.collectProcessMetrics()
  registerLog(metrics)
  metrics.gauge('mintmark_ready', '1 if /readyz answers 200, else 0.', 'max', () => group.ready)
  metrics.gauge('mintmark_draining', '1 while draining before a stop, else 0.', 'min', () => group.draining)
  metrics.gauge(
    'mintmark_processes',
    'Processes that share the listeners (MINTMARK_PROCESSES).',
    'max',
    () => processes,
  )
  metrics.gauge('mintmark_processes_ready', 'Processes that are ready.', 'max', () => group.readyCount)
  metrics.counter(
    'mintmark_process_exits_total',
    'Processes that ended unexpectedly and were replaced.',
    () => group.exits,
  )
  return metrics
}
