import { caddyfile } from './caddy-config.ts'
import { envoyYaml } from './envoy-config.ts'
import { gatewayRoutesYaml, securityPolicyYaml, trafficPoliciesYaml } from './envoy-gateway-config.ts'
import { haproxyCfg, haproxyLua } from './haproxy-config.ts'
import {
  authorizationPolicyYaml,
  envoyFilterYaml,
  requestAuthenticationYaml,
  staticEnvoyFilterYaml,
  staticPolicyYaml,
} from './istio-config.ts'
import { apiKeysPolicyYaml, doorEnvoyFilterYaml, istiodValuesYaml, virtualServiceYaml } from './istio-door.ts'
import { nginxConf, nginxGate } from './nginx-config.ts'

/** Every file below deploy/ that is made from headers.ts: path → content. test/gateways/deploy-files.test.ts compares. */
export function deployFiles(): Record<string, string> {
  return {
    'deploy/envoy/envoy.yaml': envoyYaml(),
    'deploy/envoy/envoy-api-keys.yaml': envoyYaml('http'),
    'deploy/envoy/envoy-api-keys-grpc.yaml': envoyYaml('grpc'),
    'deploy/envoy-gateway/routes.yaml': gatewayRoutesYaml(),
    'deploy/envoy-gateway/security-policy.yaml': securityPolicyYaml(),
    'deploy/envoy-gateway/traffic-policies.yaml': trafficPoliciesYaml(),
    'deploy/caddy/Caddyfile': caddyfile(),
    'deploy/haproxy/haproxy.cfg': haproxyCfg(),
    'deploy/haproxy/mintmark.lua': haproxyLua(),
    'deploy/nginx/nginx.conf': nginxConf(),
    'deploy/nginx/mintmark.js': nginxGate(),
    'deploy/istio/request-authentication.yaml': requestAuthenticationYaml(),
    'deploy/istio/authorization-policy.yaml': authorizationPolicyYaml(),
    'deploy/istio/envoy-filter.yaml': envoyFilterYaml(),
    'deploy/istio/static/authorization-policy.yaml': staticPolicyYaml(),
    'deploy/istio/static/envoy-filter.yaml': staticEnvoyFilterYaml(),
    'deploy/istio/api-keys/istiod-values.yaml': istiodValuesYaml(),
    'deploy/istio/api-keys/authorization-policy.yaml': apiKeysPolicyYaml(),
    'deploy/istio/api-keys/request-authentication.yaml': requestAuthenticationYaml(true),
    'deploy/istio/api-keys/virtual-service.yaml': virtualServiceYaml(),
    'deploy/istio/api-keys/envoy-filter.yaml': doorEnvoyFilterYaml(),
  }
}
