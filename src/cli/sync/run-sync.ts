import { systemClock } from '../../system/clock.ts'
import { processName } from '../../system/host.ts'
import { standardOutput } from '../../system/log-destination.ts'
import { createLogger } from '../../system/logger.ts'
import { systemRandom } from '../../system/random.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { streams } from '../streams.ts'
import { readTargets } from './authentication-files.ts'
import { DEFAULT_INTERVAL_SECONDS } from './interval.ts'
import { kubeconfigAccess, podAccess } from './kubernetes-access.ts'
import { KubernetesApi } from './kubernetes-api.ts'
import { Lease } from './lease.ts'
import { openOpsPort, portOf } from './ops-port.ts'
import { Rounds } from './rounds.ts'
import type { FaultReason, SyncFault } from './sync-fault.ts'

export interface SyncOptions {
  issuer: string
  istio: string[]
  interval?: number
  once?: boolean
  kubeconfig?: string
  context?: string
  forceConflicts?: boolean
  allowOlder?: boolean
  lease: string
  leaseNamespace?: string
  host: string
  port: number
}

/** Until SIGTERM, or one round. @throws {CliError} */
export async function sync(environment: NodeJS.ProcessEnv, options: SyncOptions): Promise<void> {
  if (!options.once && (options.forceConflicts || options.allowOlder))
    throw new CliError(EXIT.usage, '--force-conflicts and --allow-older need --once.')
  const { issuer } = options
  const { targets, jwksUrl } = await readTargets(options.istio, issuer)
  const access = options.kubeconfig
    ? await kubeconfigAccess(options.kubeconfig, options.context)
    : await podAccess(environment)
  const stopping = new AbortController()
  const shared = {
    clock: systemClock,
    random: systemRandom,
    api: new KubernetesApi(access, stopping.signal),
    targets,
    jwksUrl,
    issuer,
    signal: stopping.signal,
    forceConflicts: options.forceConflicts ?? false,
    allowOlder: options.allowOlder ?? false,
  }
  if (options.once) return once({ ...shared, intervalSeconds: options.interval ?? 0 })
  const intervalSeconds = options.interval ?? DEFAULT_INTERVAL_SECONDS
  const lease = new Lease({
    // Not aborted: the lease is given back at the end.
    api: new KubernetesApi(access),
    clock: systemClock,
    namespace: options.leaseNamespace ?? access.namespace,
    name: options.lease,
    identity: `${processName()}:${systemRandom.uuid()}`,
    durationSeconds: 3 * intervalSeconds + 10,
  })
  await repeat({ ...shared, intervalSeconds, lease }, stopping, options)
}

type Shared = Omit<ConstructorParameters<typeof Rounds>[0], 'lease' | 'onFault' | 'onResult'>

async function once(shared: Shared): Promise<void> {
  const rounds = new Rounds({
    ...shared,
    lease: undefined,
    onResult: (object, result) => void streams().stdout.write(`${object} ${result}\n`),
    onFault: () => {},
  })
  const faults = await rounds.run()
  const [first] = faults
  if (first) throw new CliError(EXIT_OF[first.reason], first.message, faults.slice(1).map(messageOf))
}

const messageOf = ({ message }: SyncFault) => message

const EXIT_OF: Record<FaultReason, CliError['exitCode']> = {
  mintmark_unavailable: EXIT.unavailable,
  jwks_invalid: EXIT.conflict,
  jwks_older: EXIT.conflict,
  unsafe_interval: EXIT.conflict,
  api_unavailable: EXIT.unavailable,
  api_forbidden: EXIT.refused,
  api_invalid: EXIT.fault,
  not_found: EXIT.notFound,
  rejected: EXIT.conflict,
  conflict: EXIT.conflict,
}

async function repeat(
  shared: Shared & { lease: Lease },
  stopping: AbortController,
  { host, port }: SyncOptions,
): Promise<void> {
  const logger = createLogger('info')
  const rounds = new Rounds({
    ...shared,
    onResult: (object, result, { kids }) => {
      if (result === 'written') logger.info({ object, kids }, 'JWKS written')
    },
    onFault: ({ reason, message }) => logger.warn({ reason, fault: message }, 'sync failed'),
  })
  const server = await openOpsPort(rounds, host, port)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopping.abort())
  const objects = shared.targets.map(({ namespace, name }) => `${namespace}/${name}`)
  const { intervalSeconds } = shared
  logger.info({ objects, jwks: shared.jwksUrl.href, intervalSeconds, port: portOf(server) }, 'sync started')
  await rounds.repeat()
  await shared.lease.release().catch(({ message }) => logger.warn({ fault: message }, 'lease not given back'))
  server.close()
  server.closeAllConnections()
  logger.info('sync stopped')
  await standardOutput().flush()
}
