import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { type ApiServer, PATIENCE_MS } from './api-server.ts'
import { PROGRAMS, type Program, startProgram } from './programs.ts'

/** Where istiod listens: the same ports for each start, as a Service would have. */
export interface IstiodPorts {
  grpc: number
  http: number
  monitoring: number
  ctrlz: number
}

export const istiodPorts = async (): Promise<IstiodPorts> => ({
  grpc: await freePort(),
  http: await freePort(),
  monitoring: await freePort(),
  ctrlz: await freePort(),
})

/** How often istiod fetches a jwksUri: 20 minutes by default. */
export const REFRESH_SECONDS = 20

/** `meshConfig`: in addition to what the suite needs; `env`: of istiod. */
export async function startIstiod(
  folder: string,
  ports: IstiodPorts,
  { kubeconfig, istiodOptions }: Pick<ApiServer, 'kubeconfig' | 'istiodOptions'>,
  { meshConfig = {}, env = {} }: { meshConfig?: object; env?: Record<string, string> } = {},
): Promise<Program> {
  const mesh = join(folder, 'mesh.yaml')
  const discovered = { discoveryAddress: `127.0.0.1:${ports.grpc}` }
  // JSON is YAML.
  writeFileSync(mesh, JSON.stringify({ ...meshConfig, defaultConfig: discovered, enableAutoMtls: false }))
  const program = startProgram(
    folder,
    PROGRAMS.istiod,
    [
      'discovery',
      '--registries=Kubernetes',
      `--kubeconfig=${kubeconfig}`,
      `--meshConfig=${mesh}`,
      `--grpcAddr=127.0.0.1:${ports.grpc}`,
      '--secureGRPCAddr=',
      `--httpAddr=127.0.0.1:${ports.http}`,
      '--httpsAddr=',
      `--monitoringAddr=127.0.0.1:${ports.monitoring}`,
      `--ctrlz_port=${ports.ctrlz}`,
      '--log_output_level=default:info',
      ...istiodOptions,
    ],
    {
      // Filters that only Istio's own Envoy has.
      PILOT_ENABLE_ALPN_FILTER: 'false',
      PILOT_ENABLE_METADATA_EXCHANGE: 'false',
      ENABLE_CA_SERVER: 'false',
      PILOT_ENABLE_GATEWAY_API: 'false',
      PILOT_ENABLE_AMBIENT: 'false',
      POD_NAMESPACE: 'istio-system',
      POD_NAME: 'istiod-1',
      INJECTION_WEBHOOK_CONFIG_NAME: '',
      VALIDATION_WEBHOOK_CONFIG_NAME: '',
      PILOT_JWT_PUB_KEY_REFRESH_INTERVAL: `${REFRESH_SECONDS}s`,
      ...env,
    },
  )
  const ready = async () => (await fetch(`http://127.0.0.1:${ports.http}/ready`)).status === 200
  await until('istiod is ready', ready, Boolean, PATIENCE_MS)
  return program
}

/** The value of a metric of istiod, summed over its labels. */
export async function istiodMetric(ports: IstiodPorts, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${ports.monitoring}/metrics`)).text()
  const lines = text
    .split('\n')
    .filter(line => line.startsWith(name) && /^[{ ]/.test(line.slice(name.length)))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

export interface Gateway {
  /** What of the JWKS the gateway has: `inline_string` of jwt_authn. */
  adminUrl: string
  program: Program
}

/** Where a gateway runs, and the labels by which policies find it. */
interface Workload {
  namespace: string
  labels: Record<string, string>
}
const INGRESS: Workload = {
  namespace: 'istio-system',
  labels: { istio: 'ingressgateway', app: 'istio-ingressgateway' },
}

/** A stock Envoy that istiod configures as an ingress gateway. Each has a name of its own. */
export async function startGateway(
  folder: string,
  name: string,
  istiod: IstiodPorts,
  workload = INGRESS,
): Promise<Gateway> {
  const admin = await freePort()
  const file = join(folder, `${name}.json`)
  writeFileSync(file, JSON.stringify(bootstrap(name, istiod.grpc, admin, workload)))
  const options = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning']
  const program = startProgram(folder, PROGRAMS.envoy, ['-c', file, ...options])
  return { adminUrl: `http://127.0.0.1:${admin}`, program }
}

/** Not that of the engine: istiod would take the labels of the gateway from the engine's ServiceEntry. */
const GATEWAY_ADDRESS = '127.0.0.2'

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

function bootstrap(name: string, istiod: number, admin: number, { namespace, labels }: Workload): object {
  const discovered = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' }
  const http = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  const cluster = {
    name: 'xds-grpc',
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': http,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: 'xds-grpc',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(istiod) } }] }],
    },
  }
  return {
    node: {
      id: `router~${GATEWAY_ADDRESS}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `istio-ingressgateway.${namespace}`,
      metadata: {
        ISTIO_VERSION: '1.31.0',
        NAMESPACE: namespace,
        NAME: name,
        WORKLOAD_NAME: 'istio-ingressgateway',
        CLUSTER_ID: 'Kubernetes',
        MESH_ID: 'cluster.local',
        SERVICE_ACCOUNT: 'istio-ingressgateway',
        LABELS: labels,
        INSTANCE_IPS: GATEWAY_ADDRESS,
      },
    },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      lds_config: discovered,
      cds_config: discovered,
    },
    static_resources: { clusters: [cluster] },
    admin: { address: address(admin) },
  }
}
