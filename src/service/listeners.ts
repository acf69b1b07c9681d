import type { Config } from '../config/config.ts'
import { checkMessages } from '../gateway/grpc-check.ts'
import { trusting } from '../http/caller-address.ts'
import type { ConnectionPolicy, MostConnections } from '../http/connection-limits.ts'
import { GrpcListener } from '../http/grpc-listener.ts'
import { type Address, Listener } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'
import { isOfThisHost } from '../system/host.ts'
import { isLoopback, networkOf } from '../system/ip-address.ts'
import type { Logger } from '../system/logger.ts'
import type { Metrics } from '../system/metrics.ts'
import { reportMessages } from '../telemetry/otlp-grpc.ts'
import { XdsListener } from '../xds/xds-listener.ts'

/** The public listener counts IPv6 connections by network, in which one client can change addresses. */
const MOST_CONNECTIONS = {
  public: { total: 8_000, ofOneSource: 4_000 },
  admin: { total: 2_000, ofOneSource: 1_000 },
  // Of nginx each check may be a connection of its own.
  gateway: { total: 4_000, ofOneSource: 2_000 },
  // Envoy opens one connection per worker thread.
  gatewayGrpc: { total: 2_000, ofOneSource: 256 },
  // One or a few of each gateway or collector.
  otlpHttp: { total: 1_000, ofOneSource: 500 },
  otlpGrpc: { total: 1_000, ofOneSource: 256 },
  ops: { total: 500, ofOneSource: 250 },
  // Envoy opens one connection.
  xds: { total: 2_000, ofOneSource: 64 },
} satisfies Record<string, MostConnections>

/** All listeners, none of them bound. Each process limits the connections that it accepts itself. */
export function createListeners(config: Config, { clock, logger }: { clock: Clock; logger: Logger }) {
  const trusts = trusting(config.trustedProxies)
  const policyOf = (name: keyof typeof MOST_CONNECTIONS): ConnectionPolicy => ({
    most: MOST_CONNECTIONS[name],
    sourceOf: name === 'public' ? networkOf : address => address,
    isProxy: address => trusts(address, 0),
    logger,
  })
  const create = (name: 'public' | 'admin' | 'gateway' | 'ops') =>
    Listener.create(name, clock, policyOf(name))
  return {
    public: create('public'),
    admin: create('admin'),
    gateway: create('gateway'),
    gatewayGrpc: GrpcListener.create(
      { name: 'gateway_grpc', ...checkMessages(config.gatewayModel.from === 'body') },
      clock,
      policyOf('gatewayGrpc'),
    ),
    otlpHttp: Listener.create('otlp_http', clock, policyOf('otlpHttp')),
    otlpGrpc: GrpcListener.create({ name: 'otlp_grpc', ...reportMessages() }, clock, policyOf('otlpGrpc')),
    ops: create('ops'),
    xds: new XdsListener(config.xds, clock, policyOf('xds')),
  }
}

export type Listeners = ReturnType<typeof createListeners>
export type ListenerName = keyof Listeners
export type Addresses = Partial<Record<ListenerName, Address>>

const NAMES: readonly ListenerName[] = [
  ...(['public', 'admin', 'gateway', 'gatewayGrpc', 'otlpHttp', 'otlpGrpc', 'xds', 'ops'] as const),
]
/** Those that several processes share: the ops listener belongs to their parent (processes/). */
export const SHARED = NAMES.filter(name => name !== 'ops')

/** Binds the ports of all listeners, or of none. @throws {CannotStart} that names the variable to change. */
export async function bindListeners(
  config: Config,
  system: { clock: Clock; logger: Logger },
): Promise<Listeners> {
  const listeners = createListeners(config, system)
  await listenOn(listeners, config)
  return listeners
}

/** Binds the ports of these listeners one after another, those that are configured, or none. @throws {CannotStart} */
export async function listenOn(
  listeners: Listeners,
  config: Config,
  names: readonly ListenerName[] = NAMES,
): Promise<void> {
  const addresses: Record<ListenerName, Address | undefined> = {
    public: config.publicAddress,
    admin: config.adminAddress,
    gateway: config.gatewayAddress,
    gatewayGrpc: config.gatewayGrpcAddress,
    otlpHttp: config.otlpHttpAddress,
    otlpGrpc: config.otlpGrpcAddress,
    ops: config.opsAddress,
    xds: config.xdsAddress,
  }
  try {
    for (const name of names) {
      const address = addresses[name]
      if (address) await listeners[name].listen(address)
    }
  } catch (error) {
    await Promise.all(NAMES.map(name => listeners[name].close(0, 0)))
    throw error
  }
}

/** The variable with the host of each listener. */
const HOST_VARIABLES: Record<ListenerName, string> = {
  public: 'MINTMARK_HOST',
  admin: 'MINTMARK_ADMIN_HOST',
  gateway: 'MINTMARK_GATEWAY_HOST',
  gatewayGrpc: 'MINTMARK_GATEWAY_HOST',
  otlpHttp: 'MINTMARK_OTLP_HOST',
  otlpGrpc: 'MINTMARK_OTLP_HOST',
  ops: 'MINTMARK_OPS_HOST',
  xds: 'MINTMARK_XDS_HOST',
}

/** The bound address of each listener that listens. */
export const addressesOf = (listeners: Listeners): Addresses =>
  Object.fromEntries(NAMES.map(name => [name, listeners[name].address]).filter(([, address]) => address))

/** Whether a listener of this process, or of one that shares its ports, has this address. */
export function isListener(listeners: Listeners, config: Config, address: string, port: number): boolean {
  const configured = [
    config.publicAddress,
    config.adminAddress,
    config.gatewayAddress,
    config.gatewayGrpcAddress,
    config.opsAddress,
  ]
  const bound = Object.values(addressesOf(listeners))
  return [...configured, ...bound].some(each => each.port === port) && isOfThisHost(address)
}

/** Logs what each listener opened, and to whom: some hosts default to that of the public listener. */
export function logListeners(addresses: Addresses, logger: Logger): void {
  for (const [name, { host, port }] of Object.entries(addresses) as [ListenerName, Address][]) {
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

/** These addresses as URLs. */
export const urlsAt = (addresses: Addresses): Partial<Record<ListenerName, string>> =>
  Object.fromEntries(
    Object.entries(addresses).map(([name, { host, port }]) => [name, `http://${inUrl(host)}:${port}`]),
  )

/** The listener's base URL on this machine. */
export function url(host: string, { address }: { address: Address | undefined }): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${inUrl(reachable)}:${address?.port}`
}

const inUrl = (host: string) => (host.includes(':') ? `[${host}]` : host)
