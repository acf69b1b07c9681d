import type { Config } from '../config/config.ts'
import { newExchangeOutcomes } from '../oauth/exchange-outcomes.ts'
import { systemClock } from '../system/clock.ts'
import { createLogger } from '../system/logger.ts'
import { Metrics } from '../system/metrics.ts'
import { systemRandom } from '../system/random.ts'
import { drain } from './drain.ts'
import { bindListeners, type Listeners } from './listeners.ts'
import { Maintenance } from './maintenance.ts'
import { buildParts } from './parts.ts'
import { ReadinessGate } from './readiness.ts'
import { registerServiceMetrics } from './service-metrics.ts'
import { type Served, serve, type Urls, urlsOf } from './serving.ts'
import { openStorage, type System } from './storage.ts'

export type Overrides = Partial<System>

/** A running Mintmark. */
export interface Service {
  issuer: string
  urls: Urls
  /** Settles once the service is ready, or was stopped before. */
  ready: Promise<void>
  readonly isReady: boolean
  /** Why it is not ready, in words for an operator. */
  readonly reason: string
  /** How many keys this replica knows, and the seconds since it last saw all changes. */
  directory: { readonly size: number; readonly stalenessSeconds: number }
  /** Unready at once, requests in flight finish, everything closes. Repeatable. */
  stop(): Promise<void>
}

/**
 * The composition root: builds every object once, in the order in which they need each other, and nothing else.
 * Listeners are bound first, because the default issuer names the public port; they answer 503 until all is there.
 *
 * @throws {Error} when a port cannot be used.
 */
export async function startService(config: Config, overrides: Overrides = {}): Promise<Service> {
  const system: System = {
    clock: overrides.clock ?? systemClock,
    random: overrides.random ?? systemRandom,
    logger: overrides.logger ?? createLogger(config.logLevel),
  }
  const storage = openStorage(config, system)
  warnWithoutRoot(config, system)
  const listeners = await bindListeners(config, system.clock)
  const issuer = config.issuer ?? `http://localhost:${listeners.public.port}`
  const parts = buildParts(config, system, storage, issuer)
  const maintenance = new Maintenance(parts)
  parts.follower.observe(applied => maintenance.follow(applied))
  const served = measured({
    ...parts,
    maintenance,
    readiness: new ReadinessGate(system),
    outcomes: newExchangeOutcomes(),
  })
  serve(listeners, served)
  return running(served, listeners)
}

function warnWithoutRoot({ rootTokens }: Config, { logger }: System): void {
  if (rootTokens.length > 0) return
  logger.warn(
    'MINTMARK_ROOT_TOKEN is not set: root access is off, and the admin API is for admin tokens only',
  )
}

function measured(parts: Omit<Served, 'metrics'>): Served {
  const metrics = new Metrics()
  metrics.collectProcessMetrics()
  const pools = { main: parts.database, directory: parts.directoryDatabase }
  registerServiceMetrics(metrics, { ...parts, pools })
  return { ...parts, metrics }
}

/** Prepares until that has worked, and then begins to do things by itself. */
function running(served: Served, listeners: Listeners): Service {
  const { config, issuer, follower, listener, logger, maintenance, readiness } = served
  const urls = urlsOf(config, listeners)
  const ready = readiness
    .until(() => maintenance.prepare())
    .then(() => {
      if (!readiness.ready) return
      maintenance.start()
      listener.start()
      logger.info({ issuer, ...urls }, 'ready')
    })
  let stopping: Promise<void> | undefined
  return {
    issuer,
    urls,
    ready,
    directory: follower,
    get isReady() {
      return readiness.ready
    },
    get reason() {
      return readiness.reason
    },
    stop: () => {
      stopping ??= drain(served, listeners, ready)
      return stopping
    },
  }
}
