import { Secret } from '../system/secret.ts'
import type { Env } from './env.ts'
import { listenHost, rootTokens } from './formats.ts'

/** A token of gateways. With a name it registers them: a registered gateway is expected to be connected. */
interface GatewayToken {
  gateway: string | undefined
  token: Secret
}

/** The listener for gateways that keep the deny list (src/xds/). */
export interface XdsConfig {
  tokens: readonly GatewayToken[]
  tls: { certificate: string; key: Secret; clientCa: string | undefined } | undefined
}

/** Undefined `xds`: it does not listen. */
export interface XdsSettings {
  xdsAddress: { host: string; port: number }
  xds: XdsConfig | undefined
}

/** `gatewayHost`: that of the gateway listener. */
export function readXds(env: Env, gatewayHost: string): XdsSettings {
  const host = env.text('MINTMARK_XDS_HOST', {
    parse: listenHost,
    default: gatewayHost,
    fallback: '`MINTMARK_GATEWAY_HOST`',
    description: 'address of the xDS listener',
  })
  const port = env.integer('MINTMARK_XDS_PORT', {
    default: 8086,
    min: 0,
    max: 65535,
    description:
      'port of the xDS listener, from which Envoys receive the list of revoked tokens; it listens only with `MINTMARK_XDS_TOKENS` or `MINTMARK_XDS_CLIENT_CA`',
  })
  const tokens =
    env.optional('MINTMARK_XDS_TOKENS', {
      fallback: 'none',
      description:
        'comma-separated tokens, each of at least 32 characters, that gateways send to the xDS listener as `Authorization: Bearer <token>`; `<name>:<token>` registers the gateway with this name',
      parse: gatewayTokens,
    }) ?? []
  const pem = (name: string, kind: RegExp, description: string) =>
    env.optional(name, {
      description,
      parse: text => {
        if (kind.test(text)) return text
        throw new Error('must be PEM')
      },
    })
  const certificate = pem(
    'MINTMARK_XDS_TLS_CERTIFICATE',
    /-----BEGIN CERTIFICATE-----/,
    'certificate chain of the xDS listener, in PEM; unset: plain text',
  )
  const key = pem('MINTMARK_XDS_TLS_KEY', /-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'its private key, in PEM')
  const clientCa = pem(
    'MINTMARK_XDS_CLIENT_CA',
    /-----BEGIN CERTIFICATE-----/,
    'authority of the client certificates that gateways must show to the xDS listener, in PEM',
  )
  if ((certificate === undefined) !== (key === undefined))
    env.fault(
      certificate === undefined ? 'MINTMARK_XDS_TLS_CERTIFICATE' : 'MINTMARK_XDS_TLS_KEY',
      'is required: a certificate needs its private key, and the other way round',
    )
  if (clientCa !== undefined && certificate === undefined)
    env.fault('MINTMARK_XDS_TLS_CERTIFICATE', 'is required with MINTMARK_XDS_CLIENT_CA')
  const tls =
    certificate === undefined || key === undefined
      ? undefined
      : { certificate, key: new Secret(key), clientCa }
  const listens = tokens.length > 0 || clientCa !== undefined
  return { xdsAddress: { host, port }, xds: listens ? { tokens, tls } : undefined }
}

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
/** Its metrics are those of gateways without a name. */
const WITHOUT_NAME = 'other'
/** Each is a series in metrics. */
const MOST_GATEWAYS = 100

/** A token has no colon (RFC 6750 §2.1), so one separates its name. @throws {Error} */
function gatewayTokens(text: string): GatewayToken[] {
  const tokens = text.split(',').map(part => {
    const [, gateway, token = ''] = /^(?:([^:]*):)?(.*)$/s.exec(part.trim()) ?? []
    if (gateway !== undefined && (!NAME.test(gateway) || gateway === WITHOUT_NAME))
      throw new Error(
        `must have names of 1 to 63 characters a-z, 0-9 and -, before the colon, and not "${WITHOUT_NAME}"`,
      )
    const [secret] = rootTokens(token)
    if (!secret) throw new Error('must not have an empty token')
    return { gateway, token: secret }
  })
  if (new Set(tokens.flatMap(({ gateway }) => gateway ?? [])).size > MOST_GATEWAYS)
    throw new Error(`must not have more than ${MOST_GATEWAYS} names`)
  return tokens
}
