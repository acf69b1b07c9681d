import type { Config } from '../config/config.ts'
import { GrpcListener } from '../gateway/grpc-listener.ts'
import type { MostConnections } from '../http/connection-limits.ts'
import { Listener } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'
import { isLoopback } from '../system/ip-address.ts'
import type { Logger } from '../system/logger.ts'

/** Of nginx each check may be a connection of its own. */
const MOST_GATEWAY_CONNECTIONS: MostConnections = { total: 4_000, ofOneAddress: 2_000 }

/** Binds the ports of all listeners, or of none. @throws {Error} that names the variable to change. */
export async function bindListeners(config: Config, clock: Clock) {
  const bound: (Listener | GrpcListener)[] = []
  const bind = async (name: string, address: { host: string; port: number }, most?: MostConnections) => {
    const listener = await Listener.bind(name, address, clock, most)
    bound.push(listener)
    return listener
  }
  const bindGrpc = async () => {
    const listener = await GrpcListener.bind(
      config.gatewayGrpcAddress,
      config.gatewayModel.from === 'body',
      clock,
    )
    bound.push(listener)
    return listener
  }
  try {
    return {
      public: await bind('public', config.publicAddress),
      admin: await bind('admin', config.adminAddress),
      gateway: await bind('gateway', config.gatewayAddress, MOST_GATEWAY_CONNECTIONS),
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
