import type { Env } from './env.ts'
import { listenHost } from './formats.ts'

/** The listeners of usage reports; undefined: none. */
export interface UsageConfig {
  otlpHttpAddress: { host: string; port: number } | undefined
  otlpGrpcAddress: { host: string; port: number } | undefined
}

export function readUsage(env: Env): UsageConfig {
  const host = env.text('MINTMARK_OTLP_HOST', {
    parse: listenHost,
    default: '127.0.0.1',
    description: 'address of the listeners of usage reports; not derived from `MINTMARK_HOST`',
  })
  const address = (name: string, description: string) => {
    const port = env.optional(name, {
      fallback: 'no usage reports',
      description: `port on which gateways and collectors report usage ${description}; 0: any free port`,
      range: { minimum: 0, maximum: 65_535 },
      parse: portNumber,
    })
    return port === undefined ? undefined : { host, port }
  }
  return {
    otlpHttpAddress: address('MINTMARK_OTLP_HTTP_PORT', '(OTLP/HTTP logs at `/v1/logs`), usually 8085'),
    otlpGrpcAddress: address('MINTMARK_OTLP_GRPC_PORT', 'over gRPC (OTLP/gRPC logs), usually 8087'),
  }
}

function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port <= 65_535) return port
  throw new Error(`must be a whole number from 0 to 65535, got "${text}"`)
}
