import type { Env } from './env.ts'
import { audience, listenHost } from './formats.ts'

/** Where the check reads the model of a request. */
export type GatewayModel = { from: 'nowhere' } | { from: 'body' } | { from: 'header'; name: string }

/** Settings of the check (src/gateway/). */
export interface GatewayConfig {
  gatewayAddress: { host: string; port: number }
  gatewayGrpcAddress: { host: string; port: number }
  /** The audience of issued tokens, and the only one accepted. */
  gatewayAudience: string
  gatewayModel: GatewayModel
  /** Headers that may carry an API key, in addition to `Authorization`. */
  gatewayKeyHeaders: readonly string[]
  /** Whether denials have the exact reason for the log of the gateway. */
  gatewayExactReasons: boolean
}

/** `defaults`: the public listener's host, and the audience of tenants that set none. */
export function readGateway(env: Env, defaults: { host: string; audience: string }): GatewayConfig {
  const host = env.text('MINTMARK_GATEWAY_HOST', {
    parse: listenHost,
    default: defaults.host,
    fallback: '`MINTMARK_HOST`',
    description:
      'address of the gateway listener, and of the same check over gRPC; `127.0.0.1` keeps both closed whatever `MINTMARK_HOST` is',
  })
  const port = env.integer('MINTMARK_GATEWAY_PORT', {
    default: 8082,
    min: 0,
    max: 65535,
    description: 'port of the gateway listener (`/check`, `/v1/models`)',
  })
  const grpcPort = env.integer('MINTMARK_GATEWAY_GRPC_PORT', {
    default: 8083,
    min: 0,
    max: 65535,
    description:
      'port of the same check over gRPC, for Envoy (`envoy.service.auth.v3.Authorization`, health)',
  })
  return {
    gatewayAddress: { host, port },
    gatewayGrpcAddress: { host, port: grpcPort },
    gatewayAudience: env.text('MINTMARK_GATEWAY_AUDIENCE', {
      default: defaults.audience,
      fallback: '`MINTMARK_AUDIENCE`',
      description: 'audience of tokens that `/check` issues and accepts',
      parse: audience,
    }),
    gatewayKeyHeaders:
      env.optional('MINTMARK_GATEWAY_KEY_HEADERS', {
        fallback: 'none',
        description: `headers in which \`/check\` accepts an API key in addition to \`Authorization\`: ${KEY_HEADERS.join(' or ')}, or both, comma-separated`,
        parse: keyHeaders,
      }) ?? [],
    gatewayExactReasons:
      env.choice('MINTMARK_GATEWAY_REASON', {
        default: 'code',
        choices: ['code', 'exact'],
        description:
          'value of the header `X-Mintmark-Reason` in a denial at `/check`, for the log of the gateway. `code`: the code that the client reads too. `exact`: the exact reason, such as `key_revoked`, only for gateways that remove the header before the response reaches the client, as the files in `deploy/` do',
      }) === 'exact',
    gatewayModel: env.optional('MINTMARK_GATEWAY_MODEL', {
      fallback: '`none`',
      description:
        'where `/check` reads the model that it checks against the rights of the caller: `none` (the gateway checks it), `body`, or `header:<name>`, a header that the gateway removes from client requests and sets itself',
      parse: gatewayModel,
    }) ?? { from: 'nowhere' },
  }
}

const KEY_HEADERS: readonly string[] = ['x-api-key', 'api-key']

function keyHeaders(text: string): string[] {
  const names = text.split(',').map(part => part.trim().toLowerCase())
  if (names.every(name => KEY_HEADERS.includes(name))) return [...new Set(names)]
  throw new Error(`must be a comma-separated list of ${KEY_HEADERS.join(', ')}, got "${text}"`)
}

function gatewayModel(text: string): GatewayModel {
  if (text === 'none') return { from: 'nowhere' }
  if (text === 'body') return { from: 'body' }
  const [, name = ''] = /^header:([a-z0-9]+(?:-[a-z0-9]+)*)$/i.exec(text) ?? []
  if (name !== '' && name.length <= 64 && ![...KEY_HEADERS, 'authorization'].includes(name.toLowerCase()))
    return { from: 'header', name: name.toLowerCase() }
  throw new Error(
    `must be none, body, or header: with the name of a header, like header:x-gateway-model-name, got "${text}"`,
  )
}
