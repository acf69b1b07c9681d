import {
  type AskedOver,
  changesForDoor,
  doorClusters,
  doorRoutes,
  extAuthzFilter,
  wholeBodyFilter,
} from './ext-authz.ts'
import { AUDIENCE, entitlementRules, ISSUER, indent, modelHeaderLua } from './filter-parts.ts'
import {
  ALLOWED_ROUTES,
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from './headers.ts'
import { REMOVED_HEADERS } from './set-headers.ts'

/**
 * deploy/envoy/: everything that a plain Envoy needs, in one file. Without `door` it admits tokens; with it, API keys
 * too, about which it asks Mintmark.
 */
export function envoyYaml(door?: AskedOver): string {
  return `${door ? '# This one takes API keys as well as tokens: it has Mintmark swap them.\n#\n' : ''}# Envoy in front of vLLM, admitting Mintmark's tokens. Made by scripts/generate-deploy.ts from src/gateway/: do not edit
# here what that list says. docs/guides/envoy.md explains it; test/gateways/ runs this very file.
#
# Yours to change, and nothing else needs it:
#   ${ISSUER}      MINTMARK_ISSUER, byte for byte
#   audiences: [${AUDIENCE}]                MINTMARK_AUDIENCE
#   mintmark:8080, mintmark, 8080    Mintmark's public listener, from which Envoy fetches the public keys
${door ? `${changesForDoor(door)}\n` : ''}#   vllm, 8000                       the engine, or the router in front of several
#   0.0.0.0, 10000                   where clients connect; your certificate goes there as a transport_socket
# Oldest Envoy: 1.36.5 or 1.37.1 (header removal by prefix; CVE-2026-26308). Take the newest patch of your line.

admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 9901 } }

overload_manager:
  resource_monitors:
    - name: envoy.resource_monitors.global_downstream_max_connections
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
        max_active_downstream_connections: 10000

static_resources:
  listeners:
    - name: inference
      address: { socket_address: { address: 0.0.0.0, port_value: 10000 } }
      # The longest body that is held to find its model; a longer one is 413. Memory for it is per request.
      per_connection_buffer_limit_bytes: ${LONGEST_BODY_BYTES}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                ${indent(connectionManager(door), 16)}

  clusters:
    ${indent(clusters(door), 4)}
`
}

function connectionManager(door?: AskedOver): string {
  return `
stat_prefix: inference
use_remote_address: true

# One spelling of each path, before anything compares it.
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: REJECT_REQUEST
common_http_protocol_options:
  # x_vllm_priority is x-vllm-priority to some that read it.
  headers_with_underscores_action: DROP_HEADER

# A slow sender is cut off; a slow engine is not: an answer may stream for as long as tokens keep coming.
request_headers_timeout: 10s
request_timeout: 120s
stream_idle_timeout: 900s
http2_protocol_options: { max_concurrent_streams: 100 }

# The strip list, before routing and before every filter: a client's copy of these reaches nothing.
early_header_mutation_extensions:
  - name: envoy.http.early_header_mutation.header_mutation
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
      mutations:
${STRIPPED_NAMES.map(name => `        - remove: ${name}`).join('\n')}
${STRIPPED_PREFIXES.map(({ name }) => `        - remove_on_match: { key_matcher: { prefix: ${name} } }`).join('\n')}

${localReplies(door)}

http_filters:
${httpFilters(door)}

route_config:
  virtual_hosts:
    - name: engine
      domains: ["*"]
${door ? `      # Whatever is in them: a key goes no further than the door.\n      request_headers_to_remove: [${REMOVED_HEADERS.join(', ')}]\n` : ''}      routes:
${door ? doorRoutes() : ALLOWED_ROUTES.map(route).join('\n')}
        # Everything else, /v1/load_lora_adapter and /invocations among it, never reaches the engine.
        - match: { prefix: / }
          direct_response: { status: 404, body: { inline_string: "This route is not open." } }
`.trim()
}

function route({ method, path }: { method: string; path: string }): string {
  return `        - match: { path: ${path}, headers: [{ name: ":method", string_match: { exact: ${method} } }] }
          route: { cluster: vllm, timeout: 0s }`
}

/** Envoy's own refusals in the shape that OpenAI clients read. */
export function localReplies(door?: AskedOver): string {
  const mapper = (filter: string, message: string, type: string, code: string) => `    - filter:
${filter}
      body_format_override:
        json_format: { error: { message: "${message}", type: ${type}, code: ${code}, param: null } }`
  const status = (comparison: string, value: number) => `        status_code_filter:
          comparison: { op: ${comparison}, value: { default_value: ${value}, runtime_key: unused } }`
  const by = (details: string) => `        extension_filter:
          name: envoy.access_loggers.extension_filters.cel
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
            expression: response.code_details.startsWith("${details}")`
  const byDoor = `    # The door's own words go out as they are.
    - filter:
${by('ext_authz_denied')}
${mapper(by('ext_authz_error'), 'The token service cannot answer at the moment. Try again.', 'server_error', 'unavailable')}
      headers_to_add: [{ header: { key: retry-after, value: "1" } }]
`
  return `# Envoy's own refusals, in the shape that OpenAI clients read.
local_reply_config:
  mappers:
${door ? byDoor : ''}${mapper(by('rbac_access_denied'), 'The token does not allow this model or route.', 'permission_error', 'not_allowed')}
${mapper(status('EQ', 401), '%LOCAL_REPLY_BODY%', 'authentication_error', 'invalid_token')}
${mapper(status('EQ', 403), '%LOCAL_REPLY_BODY%', 'permission_error', 'not_allowed')}
${mapper(status('EQ', 404), '%LOCAL_REPLY_BODY%', 'invalid_request_error', 'not_found')}
${mapper(status('EQ', 413), `The body is longer than ${LONGEST_BODY_BYTES} bytes.`, 'invalid_request_error', 'body_too_large')}
${mapper(status('GE', 500), '%LOCAL_REPLY_BODY%', 'server_error', 'unavailable')}`
}

function httpFilters(door?: AskedOver): string {
  const ask = door
    ? `  # 0. An API key becomes a token, or the request ends here: 401, 403, or 503 while Mintmark does not answer. What brings
  # a token already skips this (see the routes), so that inference with tokens outlives Mintmark.
  # First the whole body, on the routes that ask: see the routes.
  - ${indent(wholeBodyFilter(), 4)}
    disabled: true
  - name: mintmark.door
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
      ${indent(extAuthzFilter(door), 6)}

`
    : ''
  return `${ask}  # 1. A token of ours, verified here, or 401 (another audience: 403). Nothing calls Mintmark for ${door ? 'it' : 'a request'}.
  - name: envoy.filters.http.jwt_authn
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
      providers:
        mintmark:
          ${indent(provider(), 10)}
      # Every path: a request that matches no rule would not be verified at all.
      rules:
        - match: { prefix: / }
          requires: { provider_name: mintmark }

  # 2. The body's model, as a header.
  - name: mintmark.model-header
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
      default_source_code:
        inline_string: |
          ${indent(modelHeaderLua(), 10)}

  # 3. The entitlement rule, closed: what no policy names is 403.
  - name: mintmark.entitlement
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
      rules:
        ${indent(entitlementRules(), 8)}

  - name: envoy.filters.http.router
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router`
}

function provider(): string {
  return `
issuer: ${ISSUER}
audiences: [${AUDIENCE}]
require_expiration: true
# Only here: without this line Envoy would also take a token from ?access_token=, which ends up in logs.
from_headers: [{ name: Authorization, value_prefix: "Bearer " }]
# The engine does not get the token: it could be replayed from its logs, and vLLM's --api-key reads the same header.
forward: false
payload_in_metadata: payload
claim_to_headers:
${CLAIM_HEADERS.map(({ claim, header }) => `  - { claim_name: ${claim}, header_name: ${header} }`).join('\n')}
remote_jwks:
  http_uri: { uri: "http://mintmark:8080/.well-known/jwks.json", cluster: mintmark, timeout: 5s }
  cache_duration: 300s
  # Fetched in the background, kept for as long as no newer set arrives: inference outlives Mintmark. At a start the
  # listener opens after the first attempt; while that has failed every token is 401, and it tries each second.
  async_fetch: { fast_listener: false, failed_refetch_duration: 1s }
`.trim()
}

function clusters(door?: AskedOver): string {
  const cluster = (name: string, port: number, http2 = false) => {
    const host = name.replace(/_.*/, '')
    return `- name: ${name}
  type: STRICT_DNS
  connect_timeout: 5s
  load_assignment:
    cluster_name: ${name}
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: ${host}, port_value: ${port} } } } }] }]
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      common_http_protocol_options: { idle_timeout: ${http2 ? '60s' : '4s'} }
      explicit_http_config: { ${http2 ? 'http2' : 'http'}_protocol_options: {} }`
  }
  return `
# An idle connection is given up before the other side does (uvicorn, which serves vLLM: 5 s), else a request may meet
# a closed one and fail.
${cluster('vllm', 8000)}
${cluster('mintmark', 8080)}
${door ? doorClusters(door, cluster) : ''}`.trim()
}
