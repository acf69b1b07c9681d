import type { Config } from '../config/config.ts'
import { GrpcListener } from '../gateway/grpc-listener.ts'
import { Listener } from '../http/listener.ts'
import type { Clock } from '../system/clock.ts'

/** Binds the ports of all listeners, or of none. @throws {Error} that names the variable to change. */
export async function bindListeners(config: Config, clock: Clock) {
  const bound: (Listener | GrpcListener)[] = []
  const bind = async (name: string, address: { host: string; port: number }) => {
    const listener = await Listener.bind(name, address, clock)
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

/** The listener's base URL on this machine. */
export function url(host: string, listener: { port: number }): string {
  const reachable =
    host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host
  return `http://${reachable}:${listener.port}`
}
