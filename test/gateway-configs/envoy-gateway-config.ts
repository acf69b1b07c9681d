import { readFileSync } from 'node:fs'
import type { EnvoyGatewayRecord } from './envoy-gateway/applied.ts'

/** The ports of the Services of cluster.yaml in this test, by their original ports. */
type Ports = Record<8000 | 8080 | 8082, number> & { 8087?: number; ratelimit?: number }

// biome-ignore lint/suspicious/noExplicitAny: Envoy Gateway's output, whose shape is Envoy's
type Json = any

/**
 * Four fifths of the memory limit in envoy-proxy.yaml, which Envoy Gateway adds where it makes the Deployment: egctl makes
 * none (internal/xds/bootstrap/bootstrap.yaml.tpl).
 */
const HEAP = {
  name: 'envoy.resource_monitors.fixed_heap',
  typedConfig: {
    '@type': 'type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig',
    maxHeapSizeBytes: '1717986918',
  },
}

const REPORTS = 'envoy.access_loggers.open_telemetry'

/** In tests it is a socket, which cannot be opened as a file. */
const toStandardOutput = ({ typedConfig: { logFormat }, ...rest }: Json): Json => ({
  ...rest,
  typedConfig: {
    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
    logFormat,
  },
})

export const envoyGatewayRecord = (name: EnvoyGatewayRecord = 'record'): Json =>
  JSON.parse(readFileSync(new URL(`envoy-gateway/${name}.json`, import.meta.url), 'utf8'))

/**
 * Envoy Gateway's output for deploy/envoy-gateway (envoy-gateway/record.ts), as a file for a stock Envoy: routes and
 * endpoints, which its own Envoy receives separately, are inlined; ports are this test's. Of its logs only those of refusals and reports of usage remain.
 */
export function envoyGatewayConfig(ports: Ports, name: EnvoyGatewayRecord = 'record'): string {
  const { listener, overloadManager, routes, clusters, endpoints } = envoyGatewayRecord(name)
  const isManager = ({ typedConfig }: Json) => typedConfig.httpFilters !== undefined
  const networkFilters: Json[] = listener.defaultFilterChain.filters
  const { typedConfig: manager } = networkFilters.find(isManager)
  const { rds, accessLog: logs, ...rest } = manager
  const accessLog = logs
    .filter(({ name, typedConfig }: Json) => name === REPORTS || typedConfig.logFormat?.jsonFormat?.reason)
    .map((log: Json) => (log.name === REPORTS ? log : toStandardOutput(log)))
  const routeConfig = routes.find(({ name }: Json) => name === rds.routeConfigName)
  const address = { socketAddress: { address: '127.0.0.1', portValue: 0 } }
  const filter = {
    name: 'envoy.filters.network.http_connection_manager',
    typedConfig: { ...rest, accessLog, routeConfig: withoutType(routeConfig) },
  }
  return JSON.stringify({
    admin: { address },
    overloadManager: { ...overloadManager, resourceMonitors: [...overloadManager.resourceMonitors, HEAP] },
    staticResources: {
      listeners: [
        {
          name: listener.name,
          address,
          perConnectionBufferLimitBytes: listener.perConnectionBufferLimitBytes,
          maxConnectionsToAcceptPerSocketEvent: listener.maxConnectionsToAcceptPerSocketEvent,
          filterChains: [{ filters: networkFilters.map(each => (isManager(each) ? filter : each)) }],
        },
      ],
      clusters: [
        ...clusters
          .filter(({ edsClusterConfig }: Json) => edsClusterConfig)
          .map((cluster: Json) => atHome(cluster, endpoints, ports)),
        ...(ports.ratelimit ? [rateLimitCluster(ports.ratelimit)] : []),
      ],
    },
  })
}

/** Of Envoy Gateway's own rate limit service; its control plane adds the cluster where it deploys that service. */
const rateLimitCluster = (port: number): Json => ({
  name: 'ratelimit_cluster',
  type: 'STATIC',
  typedExtensionProtocolOptions: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
  loadAssignment: {
    clusterName: 'ratelimit_cluster',
    endpoints: [
      {
        lbEndpoints: [
          { endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } } } },
        ],
      },
    ],
  },
})

function withoutType({ '@type': _type, ...rest }: Json): Json {
  return rest
}

function atHome(cluster: Json, endpoints: Json[], ports: Ports): Json {
  const { edsClusterConfig, type: _type, ...rest } = withoutType(cluster)
  const name = edsClusterConfig.serviceName ?? cluster.name
  const assignment = structuredClone(endpoints.find(({ clusterName }: Json) => clusterName === name))
  for (const { lbEndpoints } of assignment.endpoints)
    for (const { endpoint } of lbEndpoints) {
      const { socketAddress } = endpoint.address
      endpoint.address = {
        socketAddress: { address: '127.0.0.1', portValue: ports[socketAddress.portValue as keyof Ports] },
      }
    }
  return {
    ...rest,
    type: 'STATIC',
    loadAssignment: { ...withoutType(assignment), clusterName: cluster.name },
  }
}
