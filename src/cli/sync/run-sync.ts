import { readFile } from 'node:fs/promises'
import { systemClock } from '../../system/clock.ts'
import { fileFault } from '../../system/file-fault.ts'
import { processName } from '../../system/host.ts'
import { standardOutput } from '../../system/log-destination.ts'
import { createLogger } from '../../system/logger.ts'
import { systemRandom } from '../../system/random.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { readXdsToken } from '../settings.ts'
import { streams } from '../streams.ts'
import { readTargets } from './authentication-files.ts'
import { DEFAULT_INTERVAL_SECONDS } from './interval.ts'
import { kubeconfigAccess, podAccess } from './kubernetes-access.ts'
import { KubernetesApi } from './kubernetes-api.ts'
import { Lease } from './lease.ts'
import { openOpsPort, portOf } from './ops-port.ts'
import { readPolicies } from './revocation-policy.ts'
import { Rounds, type RoundsOptions } from './rounds.ts'
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
  revocations?: string
  xds?: string
  xdsCa?: string
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
  const denied = await deniedOf(environment, options)
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
    denied,
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

/** Undefined without --revocations. @throws {CliError} @throws {ConfigError} */
async function deniedOf(
  environment: NodeJS.ProcessEnv,
  { revocations, xds, xdsCa }: SyncOptions,
): Promise<RoundsOptions['denied']> {
  if (revocations === undefined) {
    if (xds === undefined && xdsCa === undefined) return undefined
    throw new CliError(EXIT.usage, '--xds and --xds-ca need --revocations.')
  }
  const url = URL.parse(xds ?? '')
  if (!url || !/^https?:$/.test(url.protocol))
    throw new CliError(
      EXIT.usage,
      '--revocations needs --xds with the URL of the xDS listener, like http://mintmark:8086.',
    )
  const policies = await readPolicies(revocations)
  const ca =
    xdsCa === undefined
      ? undefined
      : await readFile(xdsCa, 'utf8').catch(error => {
          throw new CliError(EXIT.usage, `${xdsCa} cannot be read: ${fileFault(error) ?? 'unknown error'}.`)
        })
  return { policies, access: { url, token: readXdsToken(environment), ca } }
}

type Shared = Omit<RoundsOptions, 'lease' | 'onFault' | 'onResult'>

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
  list_unavailable: EXIT.unavailable,
  list_invalid: EXIT.conflict,
  list_older: EXIT.conflict,
  list_too_long: EXIT.conflict,
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
    onResult: (object, result, about) => {
      if (result === 'unchanged') return
      logger.info({ object, ...about }, 'kids' in about ? 'JWKS written' : 'revoked tokens written')
    },
    onFault: ({ reason, message }) => logger.warn({ reason, fault: message }, 'sync failed'),
  })
  const server = await openOpsPort(rounds, host, port)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopping.abort())
  const objects = [...shared.targets, ...(shared.denied?.policies ?? [])].map(
    ({ namespace, name }) => `${namespace}/${name}`,
  )
  const { intervalSeconds } = shared
  logger.info({ objects, jwks: shared.jwksUrl.href, intervalSeconds, port: portOf(server) }, 'sync started')
  await rounds.repeat()
  await shared.lease.release().catch(({ message }) => logger.warn({ fault: message }, 'lease not released'))
  server.close()
  server.closeAllConnections()
  logger.info('sync stopped')
  await standardOutput().flush()
}
