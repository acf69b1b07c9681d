import { existsSync, readFileSync } from 'node:fs'
import type { KubernetesObject } from '../../src/cli/sync/kubernetes-api.ts'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { objectsIn, startApiServer } from '../istiod/api-server.ts'
import { istiodMetric, istiodPorts, startGateway, startIstiod } from '../istiod/mesh.ts'
import { PROGRAMS } from '../istiod/programs.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { oneByOne } from './llm-tokens.ts'
import { ask, type Limits, type Setting, statuses, upTo } from './setting.ts'

/** Longer than istiod and Envoy take to pass the configuration on, on a busy machine. */
const PUSHED_MS = 60_000
const ISTIO = new URL('../../deploy/istio/', import.meta.url)
const FILES = ['authorization-policy.yaml', 'envoy-filter.yaml', 'limits/envoy-filter.yaml']

/** deploy/istio with deploy/istio/limits, on a real istiod and a stock Envoy. Mintmark runs. */
export async function checkIstio(checks: Checks, setting: Setting, environment: Environment): Promise<void> {
  console.log('\nIstio')
  if (!existsSync(PROGRAMS.istiod)) {
    console.log('  note    not run: istiod is not installed; run scripts/install-istiod.sh')
    return
  }
  const { clock, engine, home, mintmark, service, tenant } = setting
  const onEnd = (end: () => unknown) => environment.onEnd(end)
  const api = await startApiServer(home, onEnd)
  const ports = await istiodPorts()
  const port = await freePort()
  const jwks = `jwksUri: ${mintmark.urls.public}/.well-known/jwks.json`
  const authentication = textOf('request-authentication.yaml').replace(/jwksUri: .*/, jwks)
  const objects = [authentication, ...FILES.map(textOf)].flatMap(objectsIn)
  const meshObjects = mesh(port, { engine: engine.port, ratelimit: service.port })
  for (const object of [...objects, ...meshObjects]) await api.apply(object)
  const istiod = await startIstiod(home, ports, api)
  onEnd(() => istiod.stop())
  const gateway = await startGateway(home, 'ingress', ports)
  onEnd(() => gateway.program.stop())

  const url = `http://127.0.0.1:${port}`
  const free = await tenant({})
  const status = () => ask(url, free.token).then(answer => answer.status)
  await until('a token is accepted', status, found => found === 200, PUSHED_MS)
  clock.nextDay()
  for (const bucket of ['tenant', 'key'] as const) {
    const made = (limits: Limits) => (bucket === 'tenant' ? tenant(limits) : tenant({}, limits))
    const [three, five] = [await made({ requests_per_minute: 3 }), await made({ requests_per_minute: 5 })]
    await checks.equal(`Istio: ${bucket}.requests, 3 and 5`, [upTo(3, 7), upTo(5, 7)], async () => [
      await statuses(url, three.token, 7),
      await statuses(url, five.token, 7),
    ])
    const daily = await made({ requests_per_day: 4 })
    await checks.equal(`Istio: ${bucket}.requests_daily`, upTo(4, 6), async () => {
      const first = await statuses(url, daily.token, 3)
      clock.nextMinute()
      return [...first, ...(await statuses(url, daily.token, 3))]
    })
    const [minute, day] = [await made({ tokens_per_minute: 40 }), await made({ tokens_per_day: 64 })]
    await checks.equal(`Istio: ${bucket}.tokens`, upTo(3, 5), () =>
      oneByOne(setting, url, minute, minute.token, `${bucket}_tokens`, 5),
    )
    await checks.equal(`Istio: ${bucket}.tokens_daily`, upTo(5, 7), () =>
      oneByOne(setting, url, day, day.token, `${bucket}_tokens_daily`, 7),
    )
  }
  const one = await tenant({ requests_per_minute: 1 })
  await checks.equal('Istio: a 429 in the form of both SDKs', [429, 'rate_limit_error', true], async () => {
    await ask(url, one.token)
    const { status, headers, text } = await ask(url, one.token)
    return [status, JSON.parse(text).error.type, Number(headers['retry-after']) > 0]
  })
  await checks.equal('Istio: no configuration was rejected', 0, () =>
    istiodMetric(ports, 'pilot_total_xds_rejects'),
  )
}

const textOf = (path: string) => readFileSync(new URL(path, ISTIO), 'utf8')

/** A gateway on this port, and what its clusters need of the mesh. */
function mesh(port: number, ports: { engine: number; ratelimit: number }): KubernetesObject[] {
  const selector = { istio: 'ingressgateway' }
  const servers = [{ port: { number: port, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }]
  const route = [{ destination: { host: 'engine.example.com', port: { number: 80 } } }]
  return [
    network('Gateway', 'engine', { selector, servers }),
    network('VirtualService', 'engine', { hosts: ['*'], gateways: ['engine'], http: [{ route }] }),
    entry('engine.example.com', { number: 80, name: 'http', protocol: 'HTTP' }, ports.engine),
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
