import type { Config } from '../config/config.ts'
import { GrpcListener } from '../gateway/grpc-listener.ts'
import type { MostConnections } from '../http/connection-limits.ts'
import { type Address, Listener } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'
import { isLoopback } from '../system/ip-address.ts'
import type { Logger } from '../system/logger.ts'

/** Of nginx each check may be a connection of its own. */
const MOST_GATEWAY_CONNECTIONS: MostConnections = { total: 4_000, ofOneAddress: 2_000 }

/** All listeners, none of them bound. */
export function createListeners(config: Config, clock: Clock) {
  return {
    public: Listener.create('public', clock),
    admin: Listener.create('admin', clock),
    gateway: Listener.create('gateway', clock, MOST_GATEWAY_CONNECTIONS),
    gatewayGrpc: GrpcListener.create(config.gatewayModel.from === 'body', clock),
    ops: Listener.create('ops', clock),
  }
}

export type Listeners = ReturnType<typeof createListeners>
export type ListenerName = keyof Listeners
export type Addresses = Partial<Record<ListenerName, Address>>

const NAMES: readonly ListenerName[] = ['public', 'admin', 'gateway', 'gatewayGrpc', 'ops']
/** Those that several processes share: the ops listener belongs to their parent (processes/). */
export const SHARED = NAMES.filter(name => name !== 'ops')

/** Binds the ports of all listeners, or of none. @throws {CannotStart} that names the variable to change. */
export async function bindListeners(config: Config, clock: Clock): Promise<Listeners> {
  const listeners = createListeners(config, clock)
  await listenOn(listeners, config)
  return listeners
}

/** Binds the ports of these listeners one after another, or of none. @throws {CannotStart} */
export async function listenOn(
  listeners: Listeners,
  config: Config,
  names: readonly ListenerName[] = NAMES,
): Promise<void> {
  const addresses: Record<ListenerName, Address> = {
    public: config.publicAddress,
    admin: config.adminAddress,
    gateway: config.gatewayAddress,
    gatewayGrpc: config.gatewayGrpcAddress,
    ops: config.opsAddress,
  }
  try {
    for (const name of names) await listeners[name].listen(addresses[name])
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
  ops: 'MINTMARK_OPS_HOST',
}

/** The bound address of each listener that listens. */
export const addressesOf = (listeners: Listeners): Addresses =>
  Object.fromEntries(NAMES.map(name => [name, listeners[name].address]).filter(([, address]) => address))

/** Logs what each listener opened, and to whom: some hosts default to that of the public listener. */
export function logListeners(addresses: Addresses, logger: Logger): void {
  for (const [name, { host, port }] of Object.entries(addresses) as [ListenerName, Address][]) {
    const reachableFrom = isLoopback(host) ? 'this machine only' : 'other machines'
    const address = `${inUrl(host)}:${port}`
    logger.info({ listener: name, address, reachableFrom, variable: HOST_VARIABLES[name] }, 'listening')
  }
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
