import type { Env } from './env.ts'

/** The listener of usage reports; undefined: none. */
export interface UsageConfig {
  otlpHttpAddress: { host: string; port: number } | undefined
}

export function readUsage(env: Env): UsageConfig {
  const host = env.text('MINTMARK_OTLP_HOST', {
    default: '127.0.0.1',
    description: 'address of the listener of usage reports; not derived from `MINTMARK_HOST`',
  })
  const port = env.optional('MINTMARK_OTLP_HTTP_PORT', {
    fallback: 'no usage reports',
    description:
      'port on which gateways and collectors report usage (OTLP/HTTP logs at `/v1/logs`), usually 8085; 0: any free port',
    range: { minimum: 0, maximum: 65_535 },
    parse: portNumber,
  })
  return { otlpHttpAddress: port === undefined ? undefined : { host, port } }
}

function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port <= 65_535) return port
  throw new Error(`must be a whole number from 0 to 65535, got "${text}"`)
}
