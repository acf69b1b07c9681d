import type { Env } from './env.ts'
import { cidrs, issuerUrl, listenHost } from './formats.ts'

interface Address {
  host: string
  port: number
}

/** The listeners of a process, and the URL under which others reach them. */
export interface ListenerConfig {
  /** Undefined: `http://localhost:<public port>`, known once that port is bound. */
  issuer: string | undefined
  publicAddress: Address
  adminAddress: Address
  opsAddress: Address
  trustedProxies: readonly string[]
  /** How long a stopping process still accepts connections. */
  drainDelaySeconds: number
  /** When its requests are cut. */
  drainDeadlineSeconds: number
  /** Processes that share the listeners. 1: this one, without any other. */
  processes: number
}

/** Their addresses, who is behind them, and how they end. */
export function readListeners(env: Env): ListenerConfig {
  const host = env.text('MINTMARK_HOST', {
    parse: listenHost,
    default: '127.0.0.1',
    description:
      'address of the public listener (tokens, JWKS, discovery), and of the gateway, gRPC and ops listeners unless they have their own; `0.0.0.0` opens all of them to other machines',
  })
  const port = (name: string, fallback: number, description: string) =>
    env.integer(name, { default: fallback, min: 0, max: 65535, description })
  const publicPort = port(
    'MINTMARK_PUBLIC_PORT',
    8080,
    'port of the public listener; 0: any free port, also for the other ports',
  )
  const adminHost = env.text('MINTMARK_ADMIN_HOST', {
    parse: listenHost,
    default: '127.0.0.1',
    description: 'address of the admin listener; not derived from `MINTMARK_HOST`',
  })
  const adminPort = port('MINTMARK_ADMIN_PORT', 8081, 'admin REST')
  const opsHost = env.text('MINTMARK_OPS_HOST', {
    parse: listenHost,
    default: host,
    fallback: '`MINTMARK_HOST`',
    description: 'address of the ops listener; `127.0.0.1` keeps it closed whatever `MINTMARK_HOST` is',
  })
  const opsPort = port(
    'MINTMARK_OPS_PORT',
    8084,
    'port of the ops listener (`/livez`, `/readyz`, `/metrics`)',
  )
  return {
    issuer: env.optional('MINTMARK_ISSUER', {
      fallback: '`http://localhost:<public port>`',
      description: 'the `iss` of every token, byte for byte; https in production',
      parse: issuerUrl,
    }),
    publicAddress: { host, port: publicPort },
    adminAddress: { host: adminHost, port: adminPort },
    opsAddress: { host: opsHost, port: opsPort },
    trustedProxies:
      env.optional('MINTMARK_TRUSTED_PROXIES', {
        fallback: 'none',
        description: 'comma-separated CIDRs of proxies whose `X-Forwarded-For` is trusted',
        parse: cidrs,
      }) ?? [],
    drainDelaySeconds: env.integer('MINTMARK_DRAIN_DELAY_SECONDS', {
      default: 1,
      min: 0,
      max: 7,
      description:
        'how long a stopping process still accepts connections, so that load balancers see `/readyz` 503 first; longer while connections arrive',
    }),
    drainDeadlineSeconds: env.integer('MINTMARK_DRAIN_DEADLINE_SECONDS', {
      default: 8,
      min: 8,
      max: 600,
      description: 'when requests of a stopping process are cut; it ends within two seconds more',
    }),
    processes: env.integer('MINTMARK_PROCESSES', {
      default: 1,
      min: 1,
      max: 64,
      description:
        'processes that share the listeners, at most one for each CPU core; each has its own directory and its own database connections; needs `DATABASE_URL`',
    }),
  }
}
