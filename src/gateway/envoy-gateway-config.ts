import { CREDENTIAL_HEADERS } from './check-request.ts'
import { AUDIENCE, ISSUER } from './filter-parts.ts'
import {
  CLAIM_HEADERS,
  LIST_ROUTES,
  LONGEST_BODY_BYTES,
  MODEL_ROUTES,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from './headers.ts'
import { REMOVED_HEADERS } from './set-headers.ts'

/** deploy/envoy-gateway/: API keys and tokens at a Gateway of Envoy Gateway. Three files that need each other. */

const HEAD = `# Made by scripts/generate-deploy.ts from src/gateway/: do not edit here what that list says. docs/guides/envoy-gateway.md
# explains it; test/gateways/ runs what Envoy Gateway makes of it. Oldest: Envoy Gateway 1.9.0.
`

const object = (apiVersion: string, kind: string, name: string) => `apiVersion: ${apiVersion}
kind: ${kind}
metadata:
  name: ${name}
  namespace: inference`

const OWN = 'gateway.envoyproxy.io/v1alpha1'
const STANDARD = 'gateway.networking.k8s.io/v1'
const targets = (kind: string, ...names: string[]) =>
  `  targetRefs:\n${names.map(name => `    - { group: gateway.networking.k8s.io, kind: ${kind}, name: ${name} }`).join('\n')}`

const list = (names: readonly string[], columns: number) =>
  names.map(name => `${' '.repeat(columns)}- ${name}`).join('\n')

export function gatewayRoutesYaml(): string {
  const matches = (routes: typeof MODEL_ROUTES) =>
    routes
      .map(({ path, method }) => `        - { path: { type: Exact, value: ${path} }, method: ${method} }`)
      .join('\n')
  return `${HEAD}#
# The routes. Mintmark and the engine are Services of this namespace; in another one each needs a ReferenceGrant. Yours to
# change: the Gateway, and the engine or the router in front of several.
${object(STANDARD, 'HTTPRoute', 'inference')}
spec:
  parentRefs: [{ name: inference }]
  rules:
    - matches:
${matches(MODEL_ROUTES)}
      filters:
        # The engine gets neither token nor key: it could be replayed from its logs.
        - type: RequestHeaderModifier
          requestHeaderModifier: { remove: [${CREDENTIAL_HEADERS.join(', ')}] }
      backendRefs: [{ name: vllm, port: 8000 }]
      timeouts: { request: 0s }
---
# Not the engine's list, which names every tenant's adapters: Mintmark lists what the caller may use, and sees to the
# credential itself.
${object(STANDARD, 'HTTPRoute', 'inference-models')}
spec:
  parentRefs: [{ name: inference }]
  rules:
    - matches:
${matches(LIST_ROUTES)}
      backendRefs: [{ name: mintmark, port: 8082 }]
`
}

export function securityPolicyYaml(): string {
  return `${HEAD}#
# Mintmark needs: MINTMARK_GATEWAY_MODEL=body
# It is asked about each request, and holds the model of the body against the rights of a key and of a token alike: a rule
# of Envoy Gateway compares claims with constants only. What it answers is then verified here.
${object(OWN, 'SecurityPolicy', 'inference')}
spec:
${targets('HTTPRoute', 'inference')}
  extAuth:
    http:
      backendRefs: [{ name: mintmark, port: 8082 }]
      path: /check
      # Only the token: the headers are set from it once it has been verified.
      headersToBackend: [authorization]
    # Authorization is always sent.
    headersToExtAuth: [${REMOVED_HEADERS.join(', ')}, x-forwarded-for, content-type, content-encoding]
    bodyToExtAuth: { maxRequestBytes: ${LONGEST_BODY_BYTES} }
    timeout: 1s
    # Mintmark away, or too slow: 503, and nothing passes.
    failOpen: false
    statusOnError: 503
  jwt:
    providers:
      - name: mintmark
        issuer: ${ISSUER} # MINTMARK_ISSUER, byte for byte
        audiences: [${AUDIENCE}]
        remoteJWKS:
          uri: http://mintmark.inference.svc.cluster.local:8080/.well-known/jwks.json
          backendRefs: [{ name: mintmark, port: 8080 }]
        # Only here: without this a token in ?access_token= would do, and end up in logs.
        extractFrom: { headers: [{ name: Authorization, valuePrefix: "Bearer " }] }
        claimToHeaders:
${CLAIM_HEADERS.map(({ claim, header }) => `          - { header: ${header}, claim: ${claim} }`).join('\n')}
`
}

export function trafficPoliciesYaml(): string {
  return `${HEAD}#
# What comes in, before anything looks at it: the strip list, one spelling of each path, limits.
${object(OWN, 'ClientTrafficPolicy', 'inference')}
spec:
${targets('Gateway', 'inference')}
  headers:
    # x_vllm_priority is x-vllm-priority to some that read it.
    withUnderscoresAction: DropHeader
    earlyRequestHeaders:
      remove:
${list(STRIPPED_NAMES, 8)}
      removeOnMatch:
${list(
  STRIPPED_PREFIXES.map(({ name }) => `{ type: Prefix, value: ${name} }`),
  8,
)}
  path: { escapedSlashesAction: RejectRequest }
  connection: { bufferLimit: ${LONGEST_BODY_BYTES} }
  timeout: { http: { requestReceivedTimeout: 120s, idleTimeout: 900s, streamIdleTimeout: 900s } }
---
# Refusals of Envoy's own, in the shape that OpenAI clients read.
${object(OWN, 'BackendTrafficPolicy', 'inference')}
spec:
${targets('HTTPRoute', 'inference', 'inference-models')}
  responseOverride:
    - match: { statusCodes: [{ type: Value, value: 503 }] }
      source: Local
      response:
        contentType: application/json
        body:
          type: Inline
          inline: '{"error":{"message":"The token service cannot answer at the moment. Try again.","type":"server_error","code":"unavailable","param":null}}'
`
}
