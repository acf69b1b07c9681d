import type { Config } from '../config/config.ts'
import { GrpcListener } from '../gateway/grpc-listener.ts'
import { trusting } from '../http/caller-address.ts'
import type { ConnectionPolicy, MostConnections } from '../http/connection-limits.ts'
import { Listener } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'
import { isLoopback, networkOf } from '../system/ip-address.ts'
import type { Logger } from '../system/logger.ts'
import type { Metrics } from '../system/metrics.ts'

/** The public listener counts IPv6 connections by network, in which one client can change addresses. */
const MOST_CONNECTIONS = {
  public: { total: 8_000, ofOneSource: 4_000 },
  admin: { total: 2_000, ofOneSource: 1_000 },
  // Of nginx each check may be a connection of its own.
  gateway: { total: 4_000, ofOneSource: 2_000 },
  // Envoy opens one connection per worker thread.
  gatewayGrpc: { total: 2_000, ofOneSource: 256 },
  ops: { total: 500, ofOneSource: 250 },
} satisfies Record<string, MostConnections>

/** Binds the ports of all listeners, or of none. @throws {Error} that names the variable to change. */
export async function bindListeners(config: Config, { clock, logger }: { clock: Clock; logger: Logger }) {
  const bound: (Listener | GrpcListener)[] = []
  const trusts = trusting(config.trustedProxies)
  const policyOf = (name: keyof typeof MOST_CONNECTIONS): ConnectionPolicy => ({
    most: MOST_CONNECTIONS[name],
    sourceOf: name === 'public' ? networkOf : address => address,
    isProxy: address => trusts(address, 0),
    logger,
  })
  const bind = async (
    name: Exclude<keyof typeof MOST_CONNECTIONS, 'gatewayGrpc'>,
    address: { host: string; port: number },
  ) => {
    const listener = await Listener.bind(name, address, clock, policyOf(name))
    bound.push(listener)
    return listener
  }
  const bindGrpc = async () => {
    const listener = await GrpcListener.bind(
      config.gatewayGrpcAddress,
      config.gatewayModel.from === 'body',
      clock,
      policyOf('gatewayGrpc'),
    )
    bound.push(listener)
    return listener
  }
  try {
    return {
      public: await bind('public', config.publicAddress),
      admin: await bind('admin', config.adminAddress),
      gateway: await bind('gateway', config.gatewayAddress),
      gatewayGrpc: await bindGrpc(),
      ops: await bind('ops', config.opsAddress),
    }
  } catch (error) {
    await Promise.all(bound.map(listener => listener.close(0, 0)))
    throw error
  }
}

export type Listeners = Awaited<ReturnType<typeof bindListeners>>

/** The variable with the host of each listener. */
const HOST_VARIABLES: Record<keyof Listeners, string> = {
  public: 'MINTMARK_HOST',
  admin: 'MINTMARK_ADMIN_HOST',
  gateway: 'MINTMARK_GATEWAY_HOST',
  gatewayGrpc: 'MINTMARK_GATEWAY_HOST',
  ops: 'MINTMARK_OPS_HOST',
}

/** Logs what each listener opened, and to whom: some hosts default to that of the public listener. */
export function logListeners(listeners: Listeners, logger: Logger): void {
  for (const name of Object.keys(HOST_VARIABLES) as (keyof Listeners)[]) {
    const { host, port } = listeners[name]
    const reachableFrom = isLoopback(host) ? 'this machine only' : 'other machines'
    const address = `${inUrl(host)}:${port}`
    logger.info({ listener: name, address, reachableFrom, variable: HOST_VARIABLES[name] }, 'listening')
  }
}

/** Registers the metric of the connections that each listener closed because there were too many. */
export function countClosedConnections(listeners: Listeners, metrics: Metrics): void {
  metrics.counter(
    'mintmark_connections_closed_total',
    'Connections that were closed because the listener, or one source, had too many, by listener.',
    () =>
      Object.values(listeners).map(({ name, closedConnections }) => ({
        labels: { listener: name },
        value: closedConnections,
      })),
    ['listener'],
  )
}

/** The bound address of each listener, as a URL. */
export const boundUrls = (listeners: Listeners): Record<keyof Listeners, string> =>
  Object.fromEntries(
    Object.entries(listeners).map(([name, { host, port }]) => [name, `http://${inUrl(host)}:${port}`]),
  ) as Record<keyof Listeners, string>

/** The listener's base URL on this machine. */
export function url(host: string, listener: { port: number }): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${inUrl(reachable)}:${listener.port}`
}

const inUrl = (host: string) => (host.includes(':') ? `[${host}]` : host)
