import { childrenOf } from '../faults/environment/processes.ts'
import { startCaddy } from '../gateway-configs/caddy.ts'
import type { Behind, Gateway } from '../gateway-configs/check-environment.ts'
import { deployedEnvoy } from '../gateway-configs/environment.ts'
import { noEnvoy, startEnvoy } from '../gateway-configs/envoy.ts'
import { envoyGatewayConfig } from '../gateway-configs/envoy-gateway-config.ts'
import { startHaproxy } from '../gateway-configs/haproxy.ts'
import { startNginx } from '../gateway-configs/nginx.ts'
import { type Applied, pilotConfig } from '../gateway-configs/pilot-config.ts'
import { isAbsent } from '../gateway-configs/program.ts'
import type { Installation } from './installation.ts'

type Ports = Behind['ports']
type Credential = 'key' | 'token'

/** A gateway that this machine can run, with the file of deploy/ that it runs. */
export interface GatewayFile {
  name: string
  credentials: readonly Credential[]
  /** It checks the model of the body. */
  checksModel: boolean
  /** It speaks HTTP/2 in plain text to a client that begins with the preface. */
  http2: boolean
  /** It is not installed, and not required. */
  absent: boolean
  start(ports: Ports): Promise<Gateway>
}

const both: readonly Credential[] = ['key', 'token']
const anEnvoy = { checksModel: true, http2: true, absent: noEnvoy } as const

/** The starters of the tests read only this of their Mintmark, which runs in their own process. */
function behind(ports: Ports): Behind {
  const urls = { public: `http://127.0.0.1:${ports.public}` }
  return { mintmark: { service: { urls } }, ports } as Behind
}

export async function istio(ports: Ports, applied: Applied): Promise<Gateway> {
  const inline = await (await fetch(`http://127.0.0.1:${ports.public}/.well-known/jwks.json`)).text()
  return startEnvoy(
    pilotConfig({ upstreamPort: ports.upstream, jwks: { inline }, applied, gatewayPort: ports.gateway }),
  )
}

function envoy(ports: Ports, file: string, ...mintmark: (8082 | 8083)[]): Promise<Gateway> {
  const portOf = { 8082: ports.gateway, 8083: ports.gatewayGrpc }
  const addresses = mintmark.map((port): [string, string] => [
    `address: mintmark, port_value: ${port}`,
    `address: 127.0.0.1, port_value: ${portOf[port]}`,
  ])
  return deployedEnvoy({ jwks: ports.public, upstream: ports.upstream }, addresses, file)
}

/** Every file of deploy/ for a gateway that is installed by scripts/install-gateways.sh. */
export const GATEWAY_FILES: readonly GatewayFile[] = [
  {
    ...anEnvoy,
    name: 'envoy',
    credentials: ['token'],
    start: ports => envoy(ports, 'envoy.yaml'),
  },
  {
    ...anEnvoy,
    name: 'envoy-api-keys',
    credentials: both,
    start: ports => envoy(ports, 'envoy-api-keys.yaml', 8082),
  },
  {
    ...anEnvoy,
    name: 'envoy-api-keys-grpc',
    credentials: both,
    start: ports => envoy(ports, 'envoy-api-keys-grpc.yaml', 8082, 8083),
  },
  {
    ...anEnvoy,
    name: 'envoy-gateway',
    credentials: both,
    start: ports =>
      startEnvoy(envoyGatewayConfig({ 8000: ports.upstream, 8080: ports.public, 8082: ports.gateway })),
  },
  { ...anEnvoy, name: 'istio', credentials: ['token'], start: ports => istio(ports, 'record') },
  { ...anEnvoy, name: 'istio-api-keys', credentials: both, start: ports => istio(ports, 'record-api-keys') },
  {
    name: 'nginx',
    credentials: both,
    checksModel: true,
    http2: false,
    absent: isAbsent('nginx'),
    start: ports => startNginx(behind(ports)),
  },
  {
    name: 'haproxy',
    credentials: ['token'],
    checksModel: true,
    http2: true,
    absent: isAbsent('haproxy'),
    start: ports => startHaproxy(behind(ports)),
  },
  {
    name: 'caddy',
    credentials: both,
    checksModel: false,
    http2: false,
    absent: isAbsent('caddy'),
    start: ports => startCaddy(behind(ports)),
  },
]

/** A running gateway, with its main process. */
interface RunningGateway extends Gateway {
  pid: number
}

/** In front of the engine on `upstream`. @throws {Error} when it does not start. */
export async function startGateway(
  file: GatewayFile,
  installation: Installation,
  upstream: number,
): Promise<RunningGateway> {
  const before = new Set(childrenOf(process.pid))
  const gateway = await file.start({ ...installation.plain.ports, upstream })
  const [pid] = childrenOf(process.pid).filter(child => !before.has(child))
  if (pid === undefined) throw new Error(`${file.name} has no process`)
  return { ...gateway, pid }
}
