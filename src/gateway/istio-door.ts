import { localReplies } from './envoy-config.ts'
import { wholeBodyFilter } from './ext-authz.ts'
import { indent } from './filter-parts.ts'
import { LIST_ROUTES } from './headers.ts'
import {
  CONNECTION_MANAGER,
  envoyFilter,
  GATEWAY_LABEL,
  GATEWAY_NAMESPACE,
  HEAD,
  inserted,
  luaFilter,
} from './istio-config.ts'
import { KEY_HEADER_SPELLINGS, REMOVED_HEADERS } from './set-headers.ts'

/**
 * deploy/istio/api-keys/: API keys beside tokens at an Istio ingress gateway. A CUSTOM policy asks Mintmark about what
 * brings no token; the token that it answers is then verified, and entitled, like any other.
 */

const PROVIDER = 'mintmark-api-keys'
const MINTMARK = 'mintmark.mintmark.svc.cluster.local'

/** Values of the istiod chart, or meshConfig of an IstioOperator: nothing that kubectl applies. */
export function istiodValuesYaml(): string {
  return `${HEAD}#
# Values of the istiod chart: they say what the provider of authorization-policy.yaml is. A policy that names a provider which
# istiod does not know refuses everything.
meshConfig:
  extensionProviders:
    - name: ${PROVIDER}
      envoyExtAuthzHttp:
        service: ${MINTMARK}
        port: 8082
        pathPrefix: /check
        timeout: 1s # Istio's default is ten minutes.
        failOpen: false
        statusOnError: "503"
        # Authorization is always sent.
        includeRequestHeadersInCheck: [${REMOVED_HEADERS.join(', ')}, x-forwarded-for]
        # Only the token: the headers are set from it once it has been verified.
        headersToUpstreamOnAllow: [authorization]
        headersToDownstreamOnDeny: [content-type, www-authenticate, retry-after]
`
}

export function apiKeysPolicyYaml(): string {
  return `${HEAD}#
# Mintmark is asked about whatever brings no token, and about a token that comes with something else. What brings a token
# alone skips this, so that inference with tokens outlives Mintmark. ../authorization-policy.yaml stays: its rules hold for
# both, because they look at the token that is there after this.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: ${PROVIDER}
  namespace: ${GATEWAY_NAMESPACE}
spec:
  selector:
    matchLabels: { ${GATEWAY_LABEL} }
  action: CUSTOM
  provider: { name: ${PROVIDER} }
  rules:
    # How every token of ours begins, and no API key: base64url of {".
    - when: [{ key: "request.headers[authorization]", notValues: ["Bearer eyJ*"] }]
${REMOVED_HEADERS.map(name => `    - when: [{ key: "request.headers[${name}]", values: ["*"] }]`).join('\n')}
`
}

export function virtualServiceYaml(): string {
  return `${HEAD}#
# Where requests go. Yours to change: hosts, gateways, and the engine or the router in front of several.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: mintmark
  namespace: ${GATEWAY_NAMESPACE}
spec:
  hosts: ["*"]
  gateways: [inference]
  http:
    # Not the engine's list, which names every tenant's adapters: Mintmark lists what the caller may use.
    - match:
${LIST_ROUTES.map(({ path, method }) => `        - { uri: { exact: ${path} }, method: { exact: ${method} } }`).join('\n')}
      route: [{ destination: { host: ${MINTMARK}, port: { number: 8082 } } }]
    - route: [{ destination: { host: vllm.vllm.svc.cluster.local, port: { number: 8000 } } }]
      headers:
        request:
          # Tokens and keys go no further, however their headers are spelled.
          remove: [authorization, ${KEY_HEADER_SPELLINGS.join(', ')}]
`
}

export function doorEnvoyFilterYaml(): string {
  const beforeDoor = (filter: string) => inserted('INSERT_BEFORE', 'envoy.filters.http.ext_authz', filter)
  return `${HEAD}#
# Beside ../envoy-filter.yaml, which stays.
${envoyFilter(PROVIDER)}
    - applyTo: NETWORK_FILTER
      match: { context: GATEWAY, listener: { filterChain: { filter: { name: ${CONNECTION_MANAGER} } } } }
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            ${indent(localReplies('http'), 12)}

    # 1. An upgraded request, or a tunnel, has no end: the next filter would wait for it.
    ${indent(beforeDoor(refuseUpgradesFilter()), 4)}

    # 2. The whole body first: what is too long is 413 before Mintmark is asked.
    ${indent(beforeDoor(wholeBodyFilter()), 4)}
`
}

export const refuseUpgradesFilter = () =>
  luaFilter(
    'mintmark.refuse-upgrades',
    `
function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get("upgrade") ~= nil or headers:get(":method") == "CONNECT" then
    local body = '{"error":{"message":"No upgrade and no tunnel is open here.","type":"invalid_request_error","code":"invalid_request","param":null}}'
    handle:respond({ [":status"] = "400", ["content-type"] = "application/json" }, body)
  end
end`.trimStart(),
  )
