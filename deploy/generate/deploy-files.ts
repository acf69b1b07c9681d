import { CONTRACT_NUMBER, openRoutes, type RouteGroup, withoutForms } from '../../src/gateway/headers.ts'
import { agentgatewayFiles } from './agentgateway/agentgateway.ts'
import { caddyFiles } from './caddy/caddy.ts'
import { envoyFiles } from './envoy/envoy.ts'
import type { WithoutList } from './envoy/revocations.ts'
import { envoyGatewayFiles } from './envoy-gateway/envoy-gateway.ts'
import type { UsageTransport } from './envoy-parts/usage-report.ts'
import { haproxyFiles } from './haproxy/haproxy.ts'
import { helmFiles } from './helm/helm.ts'
import { istioFiles } from './istio/istio.ts'
import { nginxFiles } from './nginx/nginx.ts'

/**
 * Every file below deploy/ that is generated from templates: path → content. test/gateway-configs/deploy-files.test.ts
 * compares. `groups`: the routes that they open; without them those of the files in deploy/. `withoutList`: Envoy receives the list
 * of revoked tokens, and does this until it has one. `usage`: Envoy reports usage, in this way; nginx and HAProxy write it
 * for a Collector.
 */
export function deployFiles(
  groups?: readonly RouteGroup[],
  withoutList?: WithoutList,
  usage?: UsageTransport,
): Record<string, string> {
  const routes = openRoutes(groups)
  const json = withoutForms(routes)
  const gateways = {
    ...envoyFiles(routes, withoutList, usage),
    ...envoyGatewayFiles(json),
    ...istioFiles(json),
    ...nginxFiles(json, usage !== undefined),
    ...haproxyFiles(json, usage !== undefined),
    ...caddyFiles(json),
    ...agentgatewayFiles(json),
  }
  const files = Object.entries(gateways).map(([path, text]) => [path, numbered(path, text)])
  return { ...Object.fromEntries(files), ...helmFiles() }
}

/** The text with the contract number below the line that says where it comes from. */
function numbered(path: string, text: string): string {
  const [line, mark] =
    /^(#|--|\/\/) Generated from deploy\/generate\/ by npm run generate.*$/m.exec(text) ?? []
  if (line === undefined) throw new Error(`${path} does not say that it is generated`)
  return text.replace(line, `${line}\n${mark} Contract number: ${CONTRACT_NUMBER}.`)
}
