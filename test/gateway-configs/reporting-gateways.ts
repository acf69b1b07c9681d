import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import type { TestService } from '../support/test-service.ts'
import { type Collector, noCollector, startCollector } from './collector.ts'
import { noEnvoy, startEnvoy, substitute } from './envoy.ts'
import { startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import { isAbsent } from './program.ts'

/** Gateways with `npm run generate -- --usage http`, and the Collector that nginx and HAProxy need, in front of an engine. */

export interface ReportingGateway {
  url: string
  stop(): Promise<void>
}

interface Behind {
  mintmark: TestService
  /** The port of the engine. */
  engine: number
  /** Of the reporter. */
  secret: string
}

const portOf = (url: string) => Number(new URL(url).port)

async function withCollector(
  { mintmark, engine, secret }: Behind,
  start: (behind: Parameters<typeof startHaproxy>[0], collector: Collector) => Promise<ReportingGateway>,
): Promise<ReportingGateway> {
  const { urls } = mintmark.service
  const collector = await startCollector({ url: urls.otlpHttp ?? '', secret })
  const ports = {
    ...{ public: portOf(urls.public), gateway: portOf(urls.gateway), gatewayGrpc: portOf(urls.gatewayGrpc) },
    upstream: engine,
  }
  const gateway = await start({ mintmark, ports }, collector)
  return {
    url: gateway.url,
    stop: async () => {
      await gateway.stop()
      await collector.stop()
    },
  }
}

async function envoy({ mintmark, engine, secret }: Behind): Promise<ReportingGateway> {
  const { public: jwks, otlpHttp } = mintmark.service.addresses
  const file = deployFiles(undefined, undefined, 'http')['deploy/envoy/envoy.yaml'] ?? ''
  return startEnvoy(
    substitute(file, [
      ['Bearer mmr_REPORTER', `Bearer ${secret}`],
      ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${jwks?.port}`],
      ['address: mintmark, port_value: 8085', `address: 127.0.0.1, port_value: ${otlpHttp?.port}`],
      ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${engine}`],
      ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
      ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
    ]),
  )
}

/** Before the engine: nginx tries this one first, then the engine, and says so in its log as two statuses. */
const DEAD_SERVER: [string, string][] = [
  ['server vllm:8000;', 'server 127.0.0.1:1 fail_timeout=0; server vllm:8000;'],
]

export const REPORTING_GATEWAYS: {
  name: string
  isMissing: boolean
  start: (behind: Behind) => Promise<ReportingGateway>
}[] = [
  { name: 'Envoy', isMissing: noEnvoy, start: envoy },
  {
    name: 'nginx',
    isMissing: noCollector || isAbsent('nginx'),
    start: behind =>
      withCollector(behind, (each, { nginxLog }) => startNginx(each, DEAD_SERVER, undefined, nginxLog)),
  },
  {
    name: 'HAProxy',
    isMissing: noCollector || isAbsent('haproxy'),
    start: behind =>
      withCollector(behind, (each, { linePort }) => startHaproxy(each, [], '', undefined, linePort)),
  },
]
