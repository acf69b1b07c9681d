import {
  AUDIENCE,
  entitlementRules,
  ISSUER,
  indent,
  modelHeaderLua,
  stripHeadersLua,
} from './filter-parts.ts'
import { CLAIM_HEADERS, LIST_ROUTES, LONGEST_BODY_BYTES, MODEL_HEADER, MODEL_ROUTES } from './headers.ts'

/** deploy/istio/: the same for an Istio ingress gateway. Three files that need each other. */

export const HEAD = `# Made by scripts/generate-deploy.ts from src/gateway/: do not edit here what that list says. docs/guides/istio.md explains
# it; test/gateways/ runs what Istio makes of it. Oldest Istio: 1.27.8, 1.28.5 or 1.29.1.
`

/** Where the three apply: the ingress gateway that is the engine's only door. */
export const GATEWAY_NAMESPACE = 'istio-system'
export const GATEWAY_LABEL = 'istio: ingressgateway'

/** `forward`: the token goes on, for what asks Mintmark with it; routes to the engine must then remove it. */
export function requestAuthenticationYaml(forward = false): string {
  return `${HEAD}#
# Verifies a token that is there and makes headers of its claims. It lets requests WITHOUT a token through: never use it
# without authorization-policy.yaml.
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata:
  name: mintmark
  namespace: ${GATEWAY_NAMESPACE}
spec:
  selector:
    matchLabels: { ${GATEWAY_LABEL} }
  jwtRules:
    - issuer: ${ISSUER} # MINTMARK_ISSUER, byte for byte
      # Fetched by istiod, not by the gateway; named here, so that istiod need not reach the issuer's public address.
      jwksUri: http://mintmark.mintmark.svc.cluster.local:8080/.well-known/jwks.json
      audiences: [${AUDIENCE}]
      # Only here: without this line a token in ?access_token= would do, and end up in logs.
      fromHeaders: [{ name: Authorization, prefix: "Bearer " }]
${
  forward
    ? `      # Mintmark lists the models by the token. The engine does not get it: virtual-service.yaml removes it there.
      forwardOriginalToken: true`
    : `      # The engine does not get the token: it could be replayed from its logs, and vLLM's --api-key reads the same header.
      forwardOriginalToken: false`
}
      outputClaimToHeaders:
${CLAIM_HEADERS.map(({ claim, header }) => `        - { header: ${header}, claim: ${claim} }`).join('\n')}
      # From Istio 1.28 on, for policies of yours that match single names in it (\`adapters\` is a list already):
      # spaceDelimitedClaims: [adapter_list]
`
}

const policy = (name: string, action: string, rules: string) => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: ${name}
  namespace: ${GATEWAY_NAMESPACE}
spec:
  selector:
    matchLabels: { ${GATEWAY_LABEL} }
  action: ${action}
  rules:
${rules}`

const TOKEN_REQUIRED = `# No token: 403.
${policy('mintmark-token-required', 'DENY', '    - from:\n        - source: { notRequestPrincipals: ["*"] }')}`

/** A token of ours, on one of these routes. */
const rule = (routes: readonly { method: string; path: string }[]) => `    - from:
        - source: { requestPrincipals: ["${ISSUER}/*"] }
      to:
        - operation:
            methods: [${routes[0]?.method}]
            paths: [${routes.map(({ path }) => path).join(', ')}]`

export function authorizationPolicyYaml(): string {
  return `${HEAD}#
${TOKEN_REQUIRED}
---
# These routes with a token of this issuer; all else that comes through this gateway: 403. So give the engine a gateway of
# its own, or add \`hosts\` here and policies for the other hosts.
${policy('mintmark-routes', 'ALLOW', `${rule(MODEL_ROUTES)}\n${rule(LIST_ROUTES)}`)}
`
}

/** What the example of a static policy names, by the claim that must hold it. */
const NAMED = {
  models: ['llama-3-8b', 'mistralai/Mistral-7B'],
  adapters: ['acme-sql', 'acme-chat', 'globex-sql'],
}

/** deploy/istio/static/: entitlement in Istio's own words, one rule for each model or adapter that there is. */
export function staticPolicyYaml(): string {
  const rules = Object.entries(NAMED).flatMap(([claim, names]) =>
    names.map(
      name => `${rule(MODEL_ROUTES)}
      when:
        - { key: "request.headers[${MODEL_HEADER}]", values: ["${name}"] }
        - { key: "request.auth.claims[${claim}]", values: ["${name}"] }`,
    ),
  )
  return `${HEAD}#
# In place of ../authorization-policy.yaml.
${TOKEN_REQUIRED}
---
# A rule for each model and each adapter: what has none is refused to everybody. Yours to write.
${policy('mintmark-routes', 'ALLOW', [...rules, rule(LIST_ROUTES)].join('\n'))}
`
}

export const CONNECTION_MANAGER = 'envoy.filters.network.http_connection_manager'

export function envoyFilterYaml(): string {
  return `${HEAD}#
# What Istio has no word for: the strip list, and the rule that the body's model must be in the token. (An
# AuthorizationPolicy cannot compare a claim with anything but constants.)
${envoyFilter('mintmark')}
${limitAndStrip()}

    # 2. After Istio's own jwt_authn and policies: the body's model, as a header.
    ${indent(inserted('INSERT_BEFORE', 'envoy.filters.http.router', modelHeaderFilter()), 4)}

    # 3. The entitlement rule, closed.
    ${indent(inserted('INSERT_BEFORE', 'envoy.filters.http.router', entitlementFilter()), 4)}
`
}

export function staticEnvoyFilterYaml(): string {
  return `${HEAD}#
# In place of ../envoy-filter.yaml: the strip list, and the body's model as a header before Istio's policies look at it.
${envoyFilter('mintmark')}
${limitAndStrip()}

    # 2. Between jwt_authn and the policies.
    ${indent(inserted('INSERT_AFTER', 'envoy.filters.http.jwt_authn', modelHeaderFilter()), 4)}
`
}

/** Its head, up to the patches. */
export const envoyFilter = (name: string) => `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: ${name}
  namespace: ${GATEWAY_NAMESPACE}
spec:
  workloadSelector:
    labels: { ${GATEWAY_LABEL} }
  configPatches:`

const limitAndStrip =
  () => `    # The longest body that is held to find its model; a longer one is 413. (Envoy's own default is 1 MiB.)
    - applyTo: LISTENER
      match: { context: GATEWAY }
      patch:
        operation: MERGE
        value: { per_connection_buffer_limit_bytes: ${LONGEST_BODY_BYTES} }

    # 1. The strip list, before every other filter.
    - applyTo: HTTP_FILTER
      match:
        context: GATEWAY
        listener: { filterChain: { filter: { name: ${CONNECTION_MANAGER} } } }
      patch:
        operation: INSERT_FIRST
        value:
          ${indent(stripHeadersFilter(), 10)}`

/** A patch that puts a filter before or after another one. */
export const inserted = (
  where: 'INSERT_BEFORE' | 'INSERT_AFTER',
  other: string,
  filter: string,
) => `- applyTo: HTTP_FILTER
  match:
    context: GATEWAY
    listener:
      filterChain:
        filter:
          name: ${CONNECTION_MANAGER}
          subFilter: { name: ${other} }
  patch:
    operation: ${where}
    value:
      ${indent(filter, 6)}`

export const luaFilter = (name: string, source: string) => `name: ${name}
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
  default_source_code:
    inline_string: |
      ${indent(source, 6)}`

export const stripHeadersFilter = () => luaFilter('mintmark.strip-headers', stripHeadersLua())
export const modelHeaderFilter = () => luaFilter('mintmark.model-header', modelHeaderLua())
export const entitlementFilter = () => `name: mintmark.entitlement
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
  rules:
    ${indent(entitlementRules(), 4)}`
