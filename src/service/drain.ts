import { inTime } from '../system/deadline.ts'
import type { Listeners } from './listeners.ts'
import type { Served } from './serving.ts'

/** Together under the ten seconds that a supervisor may give. */
const DRAIN_DEADLINE_MS = 8_000
const OPS_DEADLINE_MS = 500
const LAST_REFUSALS_MS = 1_000

/**
 * Unready at once; requests in flight finish, what waits to be written is written, and everything closes. `ready`
 * settles once the service is ready or will not be.
 */
export async function drain(served: Served, listeners: Listeners, ready: Promise<void>): Promise<void> {
  const { clock, logger, readiness, maintenance, follower, fallback, listener, replicas } = served
  readiness.drain()
  logger.info('draining')
  if (!readiness.serving) follower.stop()
  await ready
  // The ops listener goes last, so that a prober sees "draining" and not a closed port.
  await Promise.all([
    listeners.public.close(DRAIN_DEADLINE_MS),
    listeners.admin.close(DRAIN_DEADLINE_MS),
    listeners.gateway.close(DRAIN_DEADLINE_MS),
    listeners.gatewayGrpc.close(DRAIN_DEADLINE_MS),
    listener.stop(),
  ])
  maintenance.stop()
  await served.deferred.drain()
  await inTime(clock, LAST_REFUSALS_MS, served.refusals.flush()).catch(() => {})
  await Promise.all([listeners.ops.close(OPS_DEADLINE_MS, 0), replicas.leave().catch(() => {})])
  follower.stop()
  fallback.stop()
  await Promise.all([served.database.close(), served.directoryDatabase.close()])
  logger.info('stopped')
}
