import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { parse, stringify } from 'yaml'
import { pilotConfig } from './pilot-config.ts'
import { checkReportedUsage } from './reported-usage.ts'

/** Pilot's configuration of an ingress gateway with what deploy/istio/usage adds, on a stock Envoy. */

// biome-ignore lint/suspicious/noExplicitAny: a file of Envoy
type Yaml = any

/** The logger and the filter of the file, where istiod puts them. */
function withUsage(config: string, receiver: number, secret: string): string {
  const file = readFileSync(new URL('../../deploy/istio/usage/envoy-filter.yaml', import.meta.url), 'utf8')
  const [merged, inserted] = parse(file.replaceAll('mmr_REPORTER', secret)).spec.configPatches
  expect([merged.patch.operation, inserted.patch.operation]).toEqual(['MERGE', 'INSERT_BEFORE'])
  const [logger] = merged.patch.value.typed_config.access_log
  const envoy: Yaml = parse(config)
  const manager = envoy.static_resources.listeners[0].filter_chains[0].filters.at(-1).typed_config
  manager.access_log = [...(manager.access_log ?? []), logger]
  manager.http_filters.splice(-1, 0, inserted.patch.value)
  const name = logger.typed_config.grpc_service.envoy_grpc.cluster_name
  const address = { socket_address: { address: '127.0.0.1', port_value: receiver } }
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  envoy.static_resources.clusters.push({
    ...{ name, type: 'STATIC' },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    typed_extension_protocol_options: {
      [options]: {
        '@type': `type.googleapis.com/${options}`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  })
  return stringify(envoy)
}

checkReportedUsage('Istio', {
  takesKeys: false,
  config: async ({ engine, mintmark, secret }) => {
    const { urls, addresses } = mintmark.service
    const inline = await (await fetch(`${urls.public}/.well-known/jwks.json`)).text()
    const config = pilotConfig({ upstreamPort: engine, jwks: { inline } })
    return withUsage(config, addresses.otlpGrpc?.port ?? 0, secret)
  },
})
