import { LIST_ROUTES, LONGEST_BODY_BYTES, MODEL_ROUTES } from './headers.ts'
import { REMOVED_HEADERS } from './set-headers.ts'

/** What plain Envoy needs to ask the second door about API keys: the filter, its routes, its clusters. */

/** How Envoy asks. */
export type AskedOver = 'http' | 'grpc'

/** How every token of ours begins, and no API key: base64url of `{"`. */
const TOKEN_PREFIX = 'Bearer eyJ'

const WHOLE_BODY = 'mintmark.whole-body'
const BUFFER = 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3'

const PORTS = { http: 8082, grpc: 8083 }

export const changesForDoor = (over: AskedOver): string =>
  over === 'http'
    ? '#   mintmark:8082, mintmark, 8082    its gateway listener, which is asked about API keys'
    : `#   mintmark, 8083                   its gRPC listener, which is asked about API keys
#   mintmark, 8082                   its gateway listener, which lists the models`

export function extAuthzFilter(over: AskedOver): string {
  const service =
    over === 'http'
      ? `http_service:
  server_uri: { uri: "http://mintmark:8082", cluster: mintmark_gateway, timeout: 1s }
  path_prefix: /check
  authorization_response:
    # Only the token: the headers are set from it once it has been verified.
    allowed_upstream_headers: { patterns: [{ exact: authorization }] }
    # All that a client is told of a refusal, beside its status and body.
    allowed_client_headers:
      patterns: [{ exact: content-type }, { exact: www-authenticate }, { exact: retry-after }]`
      : 'grpc_service: { envoy_grpc: { cluster_name: mintmark_grpc }, timeout: 1s }'
  return `
transport_api_version: V3
# Mintmark away, or too slow: 503, and nothing passes.
failure_mode_allow: false
status_on_error: { code: ServiceUnavailable }
# All that Mintmark is told of them: wherever a key may be, so that two are seen, and who asks.
allowed_headers:
  patterns: [${['authorization', ...REMOVED_HEADERS, 'x-forwarded-for'].map(name => `{ exact: ${name} }`).join(', ')}]
${service}`.trim()
}

/**
 * Holds the whole body before the door is asked, and refuses one that is longer with 413. While a filter waits for an
 * answer Envoy stops reading at the limit, and what comes after it would wait for the rest of the body without end.
 */
export const wholeBodyFilter = () => `name: ${WHOLE_BODY}
typed_config:
  "@type": ${BUFFER}.Buffer
  max_request_bytes: ${LONGEST_BODY_BYTES}`

/** Off for one route. */
const off = (filter: string) =>
  `            ${filter}: { "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}, disabled: true }`

/** For each route two entries: a request that brings a token skips the door, every other one is asked about. */
export function doorRoutes(): string {
  const match = (path: string, headers: string) =>
    `        - match: { path: ${path}, headers: [{ name: ":method", string_match: { exact: POST } }${headers}] }`
  const bringsToken = [
    `, { name: authorization, string_match: { prefix: "${TOKEN_PREFIX}" } }`,
    ...REMOVED_HEADERS.map(name => `, { name: ${name}, present_match: false }`),
  ].join('')
  const toEngine = '          route: { cluster: vllm, timeout: 0s }'
  const routes = MODEL_ROUTES.map(
    ({ path }) => `${match(path, bringsToken)}
${toEngine}
          typed_per_filter_config:
${off('mintmark.door')}
${match(path, '')}
${toEngine}
          typed_per_filter_config:
            ${WHOLE_BODY}: { "@type": ${BUFFER}.BufferPerRoute, buffer: { max_request_bytes: ${LONGEST_BODY_BYTES} } }`,
  )
  const lists = LIST_ROUTES.map(
    ({
      path,
    }) => `        # Not the engine's list, which names every tenant's adapters: Mintmark lists what the caller may use. It sees to
        # the credential itself.
        - match: { path: ${path}, headers: [{ name: ":method", string_match: { exact: GET } }] }
          route: { cluster: mintmark_gateway, timeout: 5s }
          typed_per_filter_config:
${['mintmark.door', 'envoy.filters.http.jwt_authn', 'mintmark.model-header', 'mintmark.entitlement'].map(off).join('\n')}`,
  )
  return [...routes, ...lists].join('\n')
}

/** `cluster` makes one from its name, port and idle timeout; `http2` says that it speaks nothing else. */
export function doorClusters(
  over: AskedOver,
  cluster: (name: string, port: number, http2: boolean) => string,
): string {
  const gateway = cluster('mintmark_gateway', PORTS.http, false)
  return over === 'http' ? gateway : `${gateway}\n${cluster('mintmark_grpc', PORTS.grpc, true)}`
}
