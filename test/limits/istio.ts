import { existsSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { KubernetesObject } from '../../src/cli/sync/kubernetes-api.ts'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { objectsIn, startApiServer } from '../istiod/api-server.ts'
import { istiodMetric, istiodPorts, startGateway, startIstiod } from '../istiod/mesh.ts'
import { PROGRAMS } from '../istiod/programs.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { checkEightLimits } from './eight-limits.ts'
import { Matrix } from './matrix.ts'
import { checkForged } from './requests.ts'
import { checkSdks } from './sdks.ts'
import { ask, type Setting } from './setting.ts'
import type { LimitingGateway } from './stopped.ts'

/** Longer than istiod and Envoy take to pass the configuration on, on a busy machine. */
const PUSHED_MS = 60_000
const ISTIO = new URL('../../deploy/istio/', import.meta.url)
const FILES = [
  ...['authorization-policy', 'envoy-filter', 'limits/envoy-filter'],
  ...['api-keys/authorization-policy', 'api-keys/envoy-filter', 'api-keys/virtual-service'],
].map(name => `${name}.yaml`)

/** deploy/istio with its api-keys and limits, on a real istiod and a stock Envoy, which stays up. Undefined: istiod is not installed. */
export async function checkIstio(
  checks: Checks,
  setting: Setting,
  environment: Environment,
): Promise<LimitingGateway | undefined> {
  console.log('\nIstio')
  if (!existsSync(PROGRAMS.istiod)) {
    console.log('  note    not run: istiod is not installed; run scripts/install-istiod.sh')
    return undefined
  }
  const { engine, home, mintmark, service, tenant } = setting
  const onEnd = (end: () => unknown) => environment.onEnd(end)
  const api = await startApiServer(home, onEnd)
  const ports = await istiodPorts()
  const port = await freePort()
  const jwks = `jwksUri: ${mintmark.urls.public}/.well-known/jwks.json`
  const authentication = textOf('api-keys/request-authentication.yaml').replace(/jwksUri: .*/, jwks)
  const objects = [authentication, ...FILES.map(textOf)].flatMap(objectsIn)
  const check = Number(new URL(mintmark.urls.gateway).port)
  const meshObjects = mesh(port, { engine: engine.port, ratelimit: service.port, check })
  for (const object of [...objects, ...meshObjects]) await api.apply(object)
  const { meshConfig } = parse(textOf('api-keys/istiod-values.yaml').replace('timeout: 5s', 'timeout: 10s'))
  const istiod = await startIstiod(home, ports, api, { meshConfig })
  onEnd(() => istiod.stop())
  const gateway = await startGateway(home, 'ingress', ports)
  onEnd(() => gateway.program.stop())

  const url = `http://127.0.0.1:${port}`
  const free = await tenant({})
  const status = () => ask(url, free.token).then(answer => answer.status)
  await until('a token is accepted', status, found => found === 200, PUSHED_MS)
  const matrix = new Matrix(checks, 'Istio')
  await checkEightLimits(matrix, setting, url)
  const one = await tenant({ requests_per_minute: 1 })
  await checks.equal('Istio: a 429 in the form of both SDKs', [429, 'rate_limit_error', true], async () => {
    await ask(url, one.token)
    const { status, headers, text } = await ask(url, one.token)
    return [status, JSON.parse(text).error.type, Number(headers['retry-after']) > 0]
  })
  await checkForged(checks, setting, url)
  await checkSdks(checks, setting, url)
  await checks.equal('Istio: no configuration was rejected', 0, () =>
    istiodMetric(ports, 'pilot_total_xds_rejects'),
  )
  return { name: 'Istio', url, matrix }
}

const textOf = (path: string) => readFileSync(new URL(path, ISTIO), 'utf8')

/** A gateway on this port, and what its clusters need of the mesh. */
function mesh(port: number, ports: { engine: number; ratelimit: number; check: number }): KubernetesObject[] {
  const selector = { istio: 'ingressgateway' }
  const servers = [{ port: { number: port, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }]
  const http = (number: number) => ({ number, name: 'http', protocol: 'HTTP' })
  return [
    network('Gateway', 'inference', { selector, servers }),
    entry('vllm.vllm.svc.cluster.local', http(8000), ports.engine),
    entry('mintmark.mintmark.svc.cluster.local', http(8082), ports.check),
    entry(
      'ratelimit.mintmark.svc.cluster.local',
      { number: 8081, name: 'grpc', protocol: 'GRPC' },
      ports.ratelimit,
    ),
  ]
}

const network = (kind: string, name: string, spec: object): KubernetesObject => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'istio-system' },
  spec,
})

const entry = (host: string, port: { number: number; name: string; protocol: string }, at: number) =>
  network('ServiceEntry', host, {
    ...{ hosts: [host], ports: [port], resolution: 'STATIC', location: 'MESH_EXTERNAL' },
    endpoints: [{ address: '127.0.0.1', ports: { [port.name]: at } }],
  })
