import { caddyFiles } from './caddy/caddy.ts'
import { envoyFiles } from './envoy/envoy.ts'
import { envoyGatewayFiles } from './envoy-gateway/envoy-gateway.ts'
import { haproxyFiles } from './haproxy/haproxy.ts'
import { helmFiles } from './helm/helm.ts'
import { istioFiles } from './istio/istio.ts'
import { nginxFiles } from './nginx/nginx.ts'

/**
 * Every file below deploy/ that is generated from templates: path → content. test/gateway-configs/deploy-files.test.ts
 * compares.
 */
export function deployFiles(): Record<string, string> {
  return {
    ...envoyFiles(),
    ...envoyGatewayFiles(),
    ...istioFiles(),
    ...nginxFiles(),
    ...haproxyFiles(),
    ...caddyFiles(),
    ...helmFiles(),
  }
}
