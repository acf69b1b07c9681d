import { substitute } from './envoy.ts'
import { envoyGatewayConfig } from './envoy-gateway-config.ts'
import { checkReportedUsage } from './reported-usage.ts'

/** Envoy Gateway's output for deploy/envoy-gateway with the files of usage/. */
checkReportedUsage('Envoy Gateway', {
  takesKeys: true,
  config: async ({ engine, mintmark, secret }) => {
    const { addresses } = mintmark.service
    const ports = {
      ...{ 8000: engine, 8080: addresses.public?.port ?? 0 },
      ...{ 8082: addresses.gateway?.port ?? 0, 8087: addresses.otlpGrpc?.port ?? 0 },
    }
    return substitute(envoyGatewayConfig(ports, 'record-usage'), [['mmr_REPORTER', secret]])
  },
})
