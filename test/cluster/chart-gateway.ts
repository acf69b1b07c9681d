import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { ISSUER, ORIGINS } from '../../deploy/generate/example.ts'
import { helm, type KubernetesObject, render } from '../deploy/helm.ts'
import { istiodPorts, startGateway, startIstiod } from '../istiod/mesh.ts'
import { runMintmark } from '../istiod/sync-process.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { PRODUCTION } from './modes.ts'
import { PROGRAMS } from './programs.ts'

/**
 * Of `npm run cluster`: the API server from which istiod reads what the chart makes. With it the suites of test/gateway-configs
 * run at istiod's own Envoys in place of recorded configurations.
 */
const KUBECONFIG = process.env.MINTMARK_CHART_KUBECONFIG
/** The gateway is one of Gateway API, to which the chart attaches by `targetRefs`. */
const BY_TARGET_REFS = process.env.MINTMARK_CHART_TARGET_REFS === '1'
export const runsChart = KUBECONFIG !== undefined

/** Longer than istiod takes to start and to push on a busy machine. */
const PATIENCE_MS = 120_000
const GATEWAY = 'inference'
const SERVICE_PORT = 80
const NAMES = {
  models: ['llama-3-8b', 'mistralai/Mistral-7B', '/models/Llama-3.1'],
  adapters: ['acme-sql', 'acme-chat', 'globex-sql'],
}

interface Setting {
  mode: 'tokens' | 'apiKeys' | 'static'
  upstreamPort: number
  /** Of Mintmark's public listener, for `mintmark sync`. */
  publicUrl: string
  /** Of Mintmark's gateway listener, which checks API keys. */
  gatewayPort?: number
  /** Changes of the chart's objects as JSON; each replaced text must exist. */
  changes?: [from: string, to: string][]
}

/** What the chart makes for Istio in a namespace of its own, with an istiod and an Envoy of its own; `mintmark sync` writes the JWKS. */
export async function startChartGateway({
  mode,
  upstreamPort,
  publicUrl,
  gatewayPort = 0,
  changes = [],
}: Setting) {
  if (!KUBECONFIG) throw new Error('MINTMARK_CHART_KUBECONFIG is not set')
  const namespace = `chart-${randomBytes(4).toString('hex')}`
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-chart-'))
  const stops: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each()
  }
  const kubectl = (args: string[], input?: string) =>
    execFileSync(PROGRAMS.kubectl, args, { input, encoding: 'utf8', env: { KUBECONFIG, HOME: folder } })
  try {
    const port = await freePort()
    const engine = `vllm.${namespace}.svc.cluster.local`
    const target = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: GATEWAY }
    const values = {
      ...PRODUCTION,
      istio: {
        ...{ enabled: true, mode, namespace, origins: ORIGINS, static: NAMES, engine: { host: engine } },
        ...(BY_TARGET_REFS && { targetRefs: [target] }),
      },
    }
    const rendered = render(values, 'mintmark', namespace)
    const made = changed(rendered.filter(isOfIstio), changes)
    const own = BY_TARGET_REFS
      ? gatewayOfGatewayApi(namespace, port, engine, mode)
      : gatewayOfIstio(namespace, port, engine, mode)
    const mintmark = `mintmark-gateway.${namespace}.svc.cluster.local`
    const hosts = [
      serviceEntry(namespace, engine, 8000, upstreamPort),
      serviceEntry(namespace, mintmark, 8082, gatewayPort),
    ]
    kubectl(['create', 'namespace', namespace])
    stops.push(() => kubectl(['delete', 'namespace', namespace, '--wait=false']))
    kubectl(
      ['apply', '--server-side', '--filename', '-'],
      [...made, ...own, ...hosts].map(each => JSON.stringify(each)).join('\n---\n'),
    )
    await sync(rendered, folder, publicUrl)

    const ports = await istiodPorts()
    const istiod = await startIstiod(
      folder,
      ports,
      { kubeconfig: KUBECONFIG, istiodOptions: [] },
      { meshConfig: mode === 'apiKeys' ? providersOf(values, namespace) : {}, env: GATEWAY_API },
    )
    stops.push(() => istiod.stop())
    const labels: Record<string, string> = BY_TARGET_REFS
      ? { 'gateway.networking.k8s.io/gateway-name': GATEWAY }
      : { istio: 'ingressgateway' }
    const { program, adminUrl } = await startGateway(folder, 'ingress', ports, { namespace, labels })
    stops.push(() => program.stop())
    const url = `http://127.0.0.1:${port}`
    const answers = () =>
      fetch(url).then(
        ({ status }) => status >= 400 && status < 500,
        () => false,
      )
    await until('the gateway answers', answers, Boolean, PATIENCE_MS)
    return { url, adminUrl, pid: program.pid, log: program.log, output: program.log, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The Gateways are deployed by the suite. */
const GATEWAY_API = {
  PILOT_ENABLE_GATEWAY_API: String(BY_TARGET_REFS),
  PILOT_ENABLE_GATEWAY_API_STATUS: 'false',
  PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER: 'false',
  PILOT_SCOPE_GATEWAY_TO_NAMESPACE: 'true',
}

/** Of Istio, and its route with Gateway API. */
const isOfIstio = ({ apiVersion }: KubernetesObject) => /\.istio\.io\/|^gateway\./.test(apiVersion)

function changed(objects: KubernetesObject[], changes: [string, string][]): KubernetesObject[] {
  return JSON.parse(
    changes.reduce((text, [from, to]) => {
      if (!text.includes(from)) throw new Error(`the chart does not say ${from}`)
      return text.replaceAll(from, to)
    }, JSON.stringify(objects)),
  )
}

/** As the chart's Deployment runs it, once, with the file of its ConfigMap. */
async function sync(rendered: KubernetesObject[], folder: string, publicUrl: string): Promise<void> {
  const map = rendered.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'mintmark-sync')
  const file = join(folder, 'request-authentication.yaml')
  const jwksUri = `jwksUri: ${publicUrl}/.well-known/jwks.json`
  writeFileSync(file, map.data['request-authentication.yaml'].replace(/jwksUri: .*/, jwksUri))
  const args = ['--istio', file, '--kubeconfig', KUBECONFIG ?? '', '--once']
  const { code, stdout, stderr } = await runMintmark(['sync', '--issuer', ISSUER, ...args])
  if (code !== 0) throw new Error(`sync ended with ${code}: ${stdout}${stderr}`)
}

/** The provider of API keys, as the chart's notes show it for istiod. */
function providersOf(values: object, namespace: string): object {
  const { output } = helm(['install', 'mintmark', '--dry-run=client'], values, namespace)
  const [, shown = ''] = /among its values, [^\n]*\n\n([\s\S]*?\n)(?! {2})/.exec(output) ?? []
  return parse(shown).meshConfig
}

const object = (apiVersion: string, kind: string, namespace: string, name: string, spec: object) => ({
  ...{ apiVersion, kind, metadata: { name, namespace }, spec },
})

const serviceEntry = (namespace: string, host: string, number: number, at: number) =>
  object('networking.istio.io/v1', 'ServiceEntry', namespace, host, {
    ...{ hosts: [host], resolution: 'STATIC', ports: [{ number, name: 'http', protocol: 'HTTP' }] },
    endpoints: [{ address: '127.0.0.1', ports: { http: at || 1 } }],
  })

/** The operator's own: a Gateway, and without API keys its route. */
function gatewayOfIstio(namespace: string, port: number, engine: string, mode: Setting['mode']) {
  const own = (kind: string, spec: object) => object('networking.istio.io/v1', kind, namespace, GATEWAY, spec)
  const server = { port: { number: port, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }
  const gateway = own('Gateway', { selector: { istio: 'ingressgateway' }, servers: [server] })
  const route = [{ destination: { host: engine, port: { number: 8000 } } }]
  const virtualService = own('VirtualService', { hosts: ['*'], gateways: [GATEWAY], http: [{ route }] })
  return mode === 'apiKeys' ? [gateway] : [gateway, virtualService]
}

/**
 * The same with Gateway API. istiod finds the gateway's Envoy by the Service that the address names, and binds the port behind it:
 * another one than that of the Service, at whose address the suite itself listens in place of kube-proxy.
 */
function gatewayOfGatewayApi(namespace: string, port: number, engine: string, mode: Setting['mode']) {
  const api = (kind: string, name: string, spec: object) =>
    object('gateway.networking.k8s.io/v1', kind, namespace, name, spec)
  const service = object('v1', 'Service', namespace, 'ingress', {
    selector: { 'gateway.networking.k8s.io/gateway-name': GATEWAY },
    ports: [{ name: 'http', port: SERVICE_PORT, targetPort: port }],
  })
  const gateway = api('Gateway', GATEWAY, {
    gatewayClassName: 'istio',
    addresses: [{ type: 'Hostname', value: `ingress.${namespace}.svc.cluster.local` }],
    listeners: [{ name: 'http', protocol: 'HTTP', port: SERVICE_PORT }],
  })
  const backend = (name: string, port: number) => ({
    group: 'networking.istio.io',
    kind: 'Hostname',
    name,
    port,
  })
  const route = api('HTTPRoute', GATEWAY, {
    parentRefs: [{ name: GATEWAY }],
    rules: [{ backendRefs: [backend(engine, 8000)] }],
  })
  return mode === 'apiKeys' ? [service, gateway] : [service, gateway, route]
}
