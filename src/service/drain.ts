import type { ChangeListener } from '../database/change-listener.ts'
import { withTimeout } from '../system/timeout.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { Listeners } from './listeners.ts'
import type { Parts } from './parts.ts'
import type { ReadinessGate } from './readiness.ts'

/** Beyond the deadline of the configuration: together less than two seconds. */
const OPS_DEADLINE_MS = 500
const LAST_REFUSALS_MS = 1_000

/** What must finish or be closed when the process stops. */
export type Drained = Pick<
  Parts,
  | 'config'
  | 'system'
  | 'storage'
  | 'follower'
  | 'directory'
  | 'signing'
  | 'authentication'
  | 'administration'
  | 'usage'
> & {
  listeners: Listeners
  readiness: ReadinessGate
  changeListener: ChangeListener
  jobs: BackgroundJobs
}

/** How a process stops. */
export interface Stopping {
  /** Others accept the connections already, so this process stops accepting at once. */
  isReplaced?: boolean
}

/**
 * Becomes unready at once; requests in flight finish, buffered writes are written, and everything closes. `ready`
 * settles once the service is ready or never will be.
 */
export async function drain(
  drained: Drained,
  ready: Promise<void>,
  { isReplaced = false }: Stopping,
): Promise<void> {
  const { config, system, storage, listeners, readiness, follower, changeListener, jobs } = drained
  const { directory, signing, authentication, administration, usage } = drained
  const { clock, logger } = system
  const delayMs = config.drainDelaySeconds * 1000
  const deadlineMs = config.drainDeadlineSeconds * 1000
  const acceptMs = isReplaced ? 0 : delayMs
  readiness.drain()
  logger.info('draining')
  if (!readiness.serving) follower.stop()
  await ready
  // The ops listener closes last, so that a prober sees "draining" and not a closed port.
  await Promise.all([
    listeners.public.close(deadlineMs, delayMs, acceptMs),
    listeners.admin.close(deadlineMs, delayMs, acceptMs),
    listeners.gateway.close(deadlineMs, delayMs, acceptMs),
    listeners.gatewayGrpc.close(deadlineMs, delayMs, acceptMs),
    listeners.otlpHttp.close(deadlineMs, delayMs, acceptMs),
    listeners.otlpGrpc.close(deadlineMs, delayMs, acceptMs),
    listeners.xds.close(),
    changeListener.stop(),
  ])
  jobs.stop()
  await authentication.deferred.drain()
  await withTimeout(clock, LAST_REFUSALS_MS, administration.refusals.flush()).catch(() => {})
  await Promise.all([listeners.ops.close(OPS_DEADLINE_MS, 0), signing.replicas.leave().catch(() => {})])
  follower.stop()
  directory.fallback.stop()
  await Promise.all([
    storage.database.close(),
    storage.directoryDatabase.close(),
    storage.usageDatabase?.close(),
    usage.reader.close(),
    system.tracing?.close(),
  ])
  logger.info('stopped')
}
