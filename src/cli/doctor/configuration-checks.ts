import type { Config } from '../../config/config.ts'
import { isLoopback } from '../../system/ip-address.ts'
import { type Finding, note, ok, warning } from './finding.ts'

/** What the service's own configuration says, and would not stop a start. */
export function configurationFindings(config: Config): Finding[] {
  return [...openListeners(config), ...proxies(config), ...choices(config)]
}

/** The public one is meant for clients; the check and OTLP for gateways; the others for operators. */
function openListeners(config: Config): Finding[] {
  const inside = {
    admin: config.adminAddress,
    ops: config.opsAddress,
    gateway: config.gatewayAddress,
    'gateway gRPC': config.gatewayGrpcAddress,
  }
  const open = Object.entries(inside).filter(([, { host }]) => host !== 'localhost' && !isLoopback(host))
  if (open.length === 0) return [ok('listeners', 'all but the public one are for this machine only')]
  const named = open.map(([name, { host, port }]) => `${name} (${host}:${port})`).join(', ')
  return [
    note(
      'listeners',
      `open to other machines, in addition to the public one: ${named}. Only gateways and operators may reach them: check it from outside with --probe`,
    ),
  ]
}

/** With an https issuer something in front of the public listener ends TLS. */
function proxies({ issuer, trustedProxies, publicAddress }: Config): Finding[] {
  if (trustedProxies.length > 0)
    return [ok('proxies', `X-Forwarded-For of ${trustedProxies.join(', ')} is believed`)]
  if (!issuer?.startsWith('https:')) return []
  const where = `${publicAddress.host}:${publicAddress.port}`
  return [
    warning(
      'proxies',
      `the issuer is https and ${where} is http, so a proxy is in front; its address stands for all clients, which share one limit of failures`,
      'Set MINTMARK_TRUSTED_PROXIES to its addresses.',
    ),
  ]
}

function choices({ production, rootTokens }: Config): Finding[] {
  const findings: Finding[] = []
  if (!production)
    findings.push(
      warning(
        'mode',
        'NODE_ENV is not production, which refuses settings for development',
        'Set NODE_ENV=production.',
      ),
    )
  if (rootTokens.length > 0)
    findings.push(
      note('root token', 'MINTMARK_ROOT_TOKEN is set: with admin tokens in use it can be removed'),
    )
  return findings
}
