import { setTimeout as sleep } from 'node:timers/promises'
import type { Checks } from '../engine/checks.ts'
import { chat, send } from '../gateway-configs/client.ts'
import { istiodMetric, istiodPorts, startGateway, startIstiod } from '../istiod/mesh.ts'
import type { Program } from '../istiod/programs.ts'
import { freePort } from '../support/free-port.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { type Cluster, MODEL, WAIT_MS } from './cluster.ts'
import { changeJwks, hasPublishedKeys, leads, metric, SYNC } from './sync-pods.ts'

/** Longer than sync's interval, a push of istiod, and its restart. */
const WATCHED_MS = 10_000

type OnEnd = (end: () => unknown) => void

/** istiod and an ingress gateway in front of an engine, with what the installed chart creates for Istio. */
export class InstalledGateway {
  readonly #checks: Checks
  readonly #onEnd: OnEnd
  readonly #cluster: Cluster
  #ports!: Awaited<ReturnType<typeof istiodPorts>>
  #istiod!: Program
  #url = ''
  #gateways = 0
  #gateway!: Program

  constructor(checks: Checks, onEnd: OnEnd, cluster: Cluster) {
    this.#checks = checks
    this.#onEnd = onEnd
    this.#cluster = cluster
  }

  async run(secrets: string[]): Promise<void> {
    console.log('\na gateway of Istio, with a token that was issued before what happens')
    await this.start()
    const token = await this.#cluster.token(secrets)
    await this.#becomes('a token is accepted', 200, token)
    await this.#becomes('no token', 403, undefined)
    await this.#syncKilled(token)
    await this.#withoutRights(token)
    await this.#withoutSync(token)
    await this.#withoutMintmark(token)
    await this.#checks.equal('istiod counts no rejected configuration (NACK)', 0, () =>
      istiodMetric(this.#ports, 'pilot_total_xds_rejects'),
    )
    await this.#gateway.stop()
    await this.#istiod.stop()
  }

  async #syncKilled(token: string): Promise<void> {
    await this.#checks.equal('two processes of sync, of which one writes', [0, 1], async () =>
      (await Promise.all(this.#syncs().map(leads))).toSorted(),
    )
    const leaders = await Promise.all(this.#syncs().map(async pod => ((await leads(pod)) === 1 ? [pod] : [])))
    const [leader] = leaders.flat()
    const name = 'the one that writes is killed: the token is accepted all the time'
    await this.#accepted(name, token, () => leader?.killContainer())
    await this.#checks.equal('and again one of two writes', 1, () =>
      until(
        'a leader',
        () => this.#leading(),
        count => count === 1,
        WAIT_MS,
      ),
    )
  }

  async #withoutRights(token: string): Promise<void> {
    const binding = await this.#cluster.plane.api.get(`${ROLES}/rolebindings/${SYNC}`)
    const revoke = async () => {
      await this.#cluster.plane.api.remove(`${ROLES}/rolebindings/${SYNC}`)
      await changeJwks(this.#cluster)
    }
    const name = 'the rights of sync are removed, and the JWKS changes: the token is accepted all the time'
    await this.#accepted(name, token, revoke)
    await this.#checks.equal('sync counts api_forbidden', true, () =>
      until('a failure', () => this.#forbidden(), Boolean, WAIT_MS).then(Boolean),
    )
    const { apiVersion, kind, metadata, roleRef, subjects } = binding
    const { name: named, namespace, labels, annotations } = metadata
    const again = {
      apiVersion,
      kind,
      metadata: { name: named, namespace, labels, annotations },
      roleRef,
      subjects,
    }
    await this.#cluster.plane.api.post(`${ROLES}/rolebindings`, again)
    await this.#checks.equal('the rights are back: it writes the JWKS of now', true, () =>
      until('the JWKS is that of Mintmark', () => hasPublishedKeys(this.#cluster), Boolean, WAIT_MS),
    )
    await this.#becomes('the token is accepted', 200, token)
  }

  async #withoutSync(token: string): Promise<void> {
    await this.#cluster.scale(SYNC, 0)
    await this.#accepted('no sync runs, and istiod restarts: the token is accepted all the time', token, () =>
      this.#restartIstiod(),
    )
    await this.#cluster.scale(SYNC, 2)
  }

  async #withoutMintmark(token: string): Promise<void> {
    const stopped = async () => {
      await this.#cluster.scale('mintmark', 0)
      await this.#restartIstiod()
    }
    const name = 'no Mintmark runs, and istiod restarts: the token is accepted all the time'
    await this.#accepted(name, token, stopped)
    await this.#gateway.stop()
    await this.#startGateway()
    await this.#becomes('and by a gateway that starts now', 200, token)
    await this.#cluster.scale('mintmark', 2)
  }

  /** Of its one listener. */
  async start(): Promise<string> {
    const engine = await startRecordingUpstream()
    this.#onEnd(() => engine.stop())
    this.#ports = await istiodPorts()
    const port = await freePort()
    this.#url = `http://127.0.0.1:${port}`
    const server = { port: { number: port, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }
    const host = 'vllm.vllm.svc.cluster.local'
    const route = [{ destination: { host, port: { number: 8000 } } }]
    const objects = [
      network('Gateway', { selector: { istio: 'ingressgateway' }, servers: [server] }),
      network('VirtualService', { hosts: ['*'], gateways: ['inference'], http: [{ route }] }),
      network('ServiceEntry', {
        ...{ hosts: [host], resolution: 'STATIC', ports: [{ number: 8000, name: 'http', protocol: 'HTTP' }] },
        endpoints: [{ address: '127.0.0.1', ports: { http: engine.port } }],
      }),
    ]
    const applied = await this.#cluster.plane.kubectl(
      ['apply', '--server-side', '--filename', '-'],
      objects.map(each => JSON.stringify(each)).join('\n---\n'),
    )
    if (!applied.ok) throw new Error(applied.output)
    await this.#startIstiod()
    await this.#startGateway()
    return this.#url
  }

  async #startIstiod(): Promise<void> {
    const { folder, plane } = this.#cluster
    const istiod = await startIstiod(folder, this.#ports, { kubeconfig: plane.kubeconfig, istiodOptions: [] })
    this.#istiod = istiod
    this.#onEnd(() => istiod.stop())
  }

  async #restartIstiod(): Promise<void> {
    await this.#istiod.stop('SIGTERM')
    await this.#startIstiod()
  }

  async #startGateway(): Promise<void> {
    const { folder } = this.#cluster
    const { program } = await startGateway(folder, `ingress-${++this.#gateways}`, this.#ports)
    this.#gateway = program
    this.#onEnd(() => program.stop())
  }

  #status(token: string | undefined): Promise<number> {
    return send(this.#url, { token, body: chat(MODEL) }).then(
      ({ status }) => status,
      () => 0,
    )
  }

  async #becomes(name: string, status: number, token: string | undefined): Promise<void> {
    const found = until(
      name,
      () => this.#status(token),
      got => got === status,
      WAIT_MS,
    )
    await this.#checks.equal(name, status, () => found.catch(() => this.#status(token)))
  }

  /** Every answer while this is done, and for a while after. */
  async #accepted(name: string, token: string, done: () => unknown): Promise<void> {
    const found = new Set<number>()
    let isOver = false
    const asking = (async () => {
      for (; !isOver; await sleep(100)) found.add(await this.#status(token))
    })()
    try {
      await done()
      await sleep(WATCHED_MS)
    } finally {
      isOver = true
      await asking
    }
    await this.#checks.equal(name, [200], () => [...found])
  }

  #syncs = () => this.#cluster.pods(SYNC).filter(pod => pod.isReady)

  async #leading(): Promise<number> {
    const all = await Promise.all(this.#cluster.pods(SYNC).map(leads))
    return all.reduce((sum, each) => sum + each, 0)
  }

  async #forbidden(): Promise<boolean> {
    const all = await Promise.all(
      this.#cluster
        .pods(SYNC)
        .map(pod => metric(pod, 'mintmark_sync_failures_total{reason="api_forbidden"}')),
    )
    return all.some(count => count > 0)
  }
}

const ROLES = '/apis/rbac.authorization.k8s.io/v1/namespaces/istio-system'

const network = (kind: string, spec: object) => ({
  ...{ apiVersion: 'networking.istio.io/v1', kind, spec },
  metadata: { name: 'inference', namespace: 'istio-system' },
})
