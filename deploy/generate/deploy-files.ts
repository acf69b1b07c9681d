import { openRoutes, type RouteGroup } from '../../src/gateway/headers.ts'
import { caddyFiles } from './caddy/caddy.ts'
import { envoyFiles } from './envoy/envoy.ts'
import { envoyGatewayFiles } from './envoy-gateway/envoy-gateway.ts'
import { haproxyFiles } from './haproxy/haproxy.ts'
import { helmFiles } from './helm/helm.ts'
import { istioFiles } from './istio/istio.ts'
import { nginxFiles } from './nginx/nginx.ts'

/**
 * Every file below deploy/ that is generated from templates: path → content. test/gateway-configs/deploy-files.test.ts
 * compares. `groups`: the routes that they open; without them those of the files in deploy/.
 */
export function deployFiles(groups?: readonly RouteGroup[]): Record<string, string> {
  const routes = openRoutes(groups)
  return {
    ...envoyFiles(routes),
    ...envoyGatewayFiles(routes),
    ...istioFiles(routes),
    ...nginxFiles(routes),
    ...haproxyFiles(routes),
    ...caddyFiles(routes),
    ...helmFiles(routes),
  }
}
