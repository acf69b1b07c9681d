import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { CLAIM_HEADERS, LIST_ROUTES, MODEL_ROUTES } from '../../src/gateway/headers.ts'

/** `inline`: istiod fetched the keys (the default). `remote`: PILOT_JWT_ENABLE_REMOTE_JWKS lets Envoy fetch them. */
export type JwksMode = { inline: string } | { remote: { port: number; cacheDuration?: string } }

/** The applied files of deploy/istio: for tokens, for API keys as well, or with a static policy. */
export type Applied = 'record' | 'record-api-keys' | 'record-static'

const ENVOY_FILTERS: Record<Applied, string[]> = {
  record: ['envoy-filter'],
  'record-api-keys': ['envoy-filter', 'api-keys/envoy-filter'],
  'record-static': ['static/envoy-filter'],
}

/**
 * Pilot's output for deploy/istio at an ingress gateway. pilot/record*.json are recorded from pilot
 * (pilot/record_test.go); here they get this test's ports and keys, the current lists of headers.ts and the current
 * filters of deploy/istio. In istio/istio the fields come from: jwt_authn: pilot/pkg/security/authn/policy_applier.go
 * convertToEnvoyJwtConfig (payload_in_metadata, space-delimited permission and scope, clear_route_cache on gateways,
 * provider OR allow_missing, bypass_cors_preflight, 5 s and 300 s, never async_fetch); rbac:
 * pilot/pkg/security/authz/model/generator.go; connection manager, filter order: pilot/pkg/networking/core/gateway.go
 * and listener_builder.go.
 */
export function pilotConfig(options: {
  upstreamPort: number
  jwks: JwksMode
  applied?: Applied
  /** Of Mintmark's gateway listener, which checks API keys. */
  gatewayPort?: number
}): string {
  const { upstreamPort, jwks, applied = 'record', gatewayPort = 0 } = options
  const record = JSON.parse(
    readFileSync(new URL(`pilot/${applied}.json`, import.meta.url), 'utf8'),
  ) as PilotRecord
  const { http_filters: filters, access_log: loggers = [], ...manager } = record.connection_manager
  const remote = {
    ...record.remote_jwks,
    ...('remote' in jwks && { cache_duration: jwks.remote.cacheDuration ?? '300s' }),
  }
  const inserted = new Map(insertedFilters(applied).map(filter => [filter.name, filter]))
  const merged = new Map(mergedLoggers(applied).map(logger => [logger.name, logger]))
  const access_log = loggers.map(({ name }) => merged.get(name))
  const source = 'inline' in jwks ? { local_jwks: { inline_string: jwks.inline } } : { remote_jwks: remote }
  const routes = { virtual_hosts: [{ name: 'all', domains: ['*'], routes: record.routes }] }
  const portOf = (name: string) => (name.includes('|8082|') ? gatewayPort : upstreamPort)
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
    - name: 0.0.0.0_8080
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      per_connection_buffer_limit_bytes: ${record.per_connection_buffer_limit_bytes}
      max_connections_to_accept_per_socket_event: ${record.max_connections_to_accept_per_socket_event}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
${Object.entries({ ...manager, access_log, route_config: routes })
  .map(([key, value]) => `                "${key}": ${JSON.stringify(value)}`)
  .join('\n')}
                http_filters:
${filters
  .flatMap(filter => filled(filter, source, inserted))
  .map(filter => `                  - ${JSON.stringify(filter)}`)
  .join('\n')}
  clusters:
${[...new Set(record.routes.map(({ route }) => route.cluster))]
  .map(name => `    - ${cluster(name, portOf(name), record)}`)
  .join('\n')}
    ${'remote' in jwks ? `- ${cluster(record.remote_jwks.http_uri.cluster, jwks.remote.port, record)}` : ''}
`
}

interface PilotRecord {
  per_connection_buffer_limit_bytes: number
  max_connections_to_accept_per_socket_event: number
  connection_manager: { http_filters: PilotFilter[]; access_log?: { name: string }[] }
  remote_jwks: { http_uri: { cluster: string } }
  routes: { route: { cluster: string } }[]
  /** By the name of a cluster. */
  protocol_options?: Record<string, object>
}

interface PilotFilter {
  name: string
  // biome-ignore lint/suspicious/noExplicitAny: pilot's output, whose shape is Envoy's
  typed_config: any
}

interface Patch {
  applyTo: string
  // biome-ignore lint/suspicious/noExplicitAny: a part of Envoy's configuration
  patch: { operation: string; value: any }
}

const patches = (applied: Applied): Patch[] =>
  ENVOY_FILTERS[applied].flatMap(name => {
    const file = new URL(`../../deploy/istio/${name}.yaml`, import.meta.url)
    return parse(readFileSync(file, 'utf8')).spec.configPatches
  })

/** The filters that the files of deploy/istio insert. */
const insertedFilters = (applied: Applied): PilotFilter[] =>
  patches(applied)
    .filter(({ applyTo, patch }) => applyTo === 'HTTP_FILTER' && patch.operation !== 'MERGE')
    .map(({ patch }) => patch.value)

/** The access loggers that they add. */
const mergedLoggers = (applied: Applied): { name: string }[] =>
  patches(applied)
    .filter(({ applyTo }) => applyTo === 'NETWORK_FILTER')
    .flatMap(({ patch }) => patch.value.typed_config.access_log ?? [])

/** One filter of pilot's chain. Filters that only Istio's own build of Envoy has do not process requests. */
function filled(
  filter: PilotFilter,
  jwksSource: object,
  inserted: Map<string, PilotFilter>,
): PilotFilter | PilotFilter[] {
  if (filter.name.startsWith('istio.')) return []
  if (filter.name.startsWith('mintmark.')) {
    const ours = inserted.get(filter.name)
    if (!ours) throw new Error(`deploy/istio inserts no ${filter.name}`)
    return ours
  }
  switch (filter.name) {
    case 'envoy.filters.http.jwt_authn':
      fillIn(filter.typed_config.providers['origins-0'], jwksSource)
      break
    case 'envoy.filters.http.rbac':
      fillInRoutes(filter.typed_config.rules?.policies ?? {})
  }
  return filter
}

function fillIn(provider: Record<string, unknown>, jwksSource: object): void {
  delete provider.local_jwks
  Object.assign(provider, jwksSource)
  provider.claim_to_headers = CLAIM_HEADERS.map(({ claim, header }) => ({
    header_name: header,
    claim_name: claim,
  }))
}

function fillInRoutes(policies: Record<string, PilotFilter['typed_config']>): void {
  const path = (match: object) => ({ url_path: { path: match } })
  const lists = LIST_ROUTES.flatMap(route => [{ exact: route.path }, { prefix: `${route.path}/` }])
  const models = MODEL_ROUTES.map(route => ({ exact: route.path }))
  for (const { permissions } of Object.values(policies)) {
    const { rules } = permissions[0].and_rules
    const method = rules[0].or_rules?.rules[0].header.string_match.exact
    if (method) rules[1] = { or_rules: { rules: (method === 'GET' ? lists : models).map(path) } }
  }
}

const NO_LIMIT = 4_294_967_295
const UNLIMITED = {
  max_connections: NO_LIMIT,
  max_pending_requests: NO_LIMIT,
  max_requests: NO_LIMIT,
  max_retries: NO_LIMIT,
}

const cluster = (name: string, port: number, { protocol_options: protocols }: PilotRecord): string =>
  JSON.stringify({
    name,
    typed_extension_protocol_options: protocols?.[name],
    connect_timeout: '10s',
    // pilot/pkg/networking/core/cluster_traffic_policy.go, getDefaultCircuitBreakerThresholds
    circuit_breakers: { thresholds: [UNLIMITED] },
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [
            { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
          ],
        },
      ],
    },
  })
