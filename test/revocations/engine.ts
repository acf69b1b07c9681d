import { type Envoy, startEnvoy } from '../gateway-configs/envoy.ts'

const CONFIG = `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
    - name: engine
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: engine
                route_config:
                  virtual_hosts:
                    - name: engine
                      domains: ["*"]
                      routes: [{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: "{}" } } }]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`

/** Answers every request at once, so that what is measured is the gateway. */
export const startEngine = (): Promise<Envoy> => startEnvoy(CONFIG)
