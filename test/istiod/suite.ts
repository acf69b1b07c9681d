import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ISSUER } from '../../deploy/generate/example.ts'
import { kubeconfigAccess, podAccess } from '../../src/cli/sync/kubernetes-access.ts'
import { KubernetesApi, type KubernetesObject } from '../../src/cli/sync/kubernetes-api.ts'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { freePort } from '../support/free-port.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { type ApiServer, objectsIn, startApiServer, startSmallApiServer } from './api-server.ts'
import {
  type Gateway,
  istiodMetric,
  istiodPorts,
  REFRESH_SECONDS,
  startGateway,
  startIstiod,
} from './mesh.ts'
import type { Program } from './programs.ts'
import { type Outcome, runMintmark, type SyncProcess, startSync } from './sync-process.ts'

type RealApiServer = NonNullable<ApiServer['real']>

/** Longer than istiod and Envoy take to pass a change on, on a busy machine. */
const PUSHED_MS = 30_000
/** How long an Envoy that lost its istiod may take to connect again, and to receive what istiod has. */
const RECONNECTED_MS = 12_000
const INTERVAL_SECONDS = 2
/** Below what istiod needs: keys rotate within seconds here. */
const SHORT_LEAD = { MINTMARK_SHORT_PUBLISH_LEAD: 'allowed', MINTMARK_PUBLISH_LEAD_SECONDS: '10' }
const OBJECT = '/apis/security.istio.io/v1/namespaces/istio-system/requestauthentications/mintmark'
const deploy = (path: string) => readFileSync(new URL(`../../deploy/istio/${path}`, import.meta.url), 'utf8')

/** The mesh of the suite, and what is shown on it. */
export class Suite {
  readonly #environment: Environment
  readonly #checks: Checks
  readonly #folder: string
  readonly #api: ApiServer
  readonly #ports: Awaited<ReturnType<typeof istiodPorts>>
  readonly #gatewayPort: number
  readonly #databaseUrl: string
  readonly #publicPort: number
  #istiod: Program | undefined
  #gateway: Gateway | undefined
  #replica: Replica | undefined
  #key = ''
  #gateways = 0

  private constructor(parts: {
    environment: Environment
    checks: Checks
    folder: string
    api: ApiServer
    ports: Awaited<ReturnType<typeof istiodPorts>>
    gatewayPort: number
    databaseUrl: string
    publicPort: number
  }) {
    this.#environment = parts.environment
    this.#checks = parts.checks
    this.#folder = parts.folder
    this.#api = parts.api
    this.#ports = parts.ports
    this.#gatewayPort = parts.gatewayPort
    this.#databaseUrl = parts.databaseUrl
    this.#publicPort = parts.publicPort
  }

  /** A control plane with the objects of deploy/istio, an engine, and Mintmark with a key; istiod is not running yet. */
  static async start(environment: Environment, checks: Checks, real: boolean): Promise<Suite> {
    const folder = mkdtempSync(join(tmpdir(), 'mintmark-istiod-'))
    environment.onEnd(() => rmSync(folder, { recursive: true, force: true }))
    const [api, postgres, engine] = await Promise.all([
      (real ? startApiServer : startSmallApiServer)(folder, end => environment.onEnd(end)),
      environment.postgres(),
      startRecordingUpstream(),
    ])
    environment.onEnd(() => engine.stop())
    const suite = new Suite({
      environment,
      checks,
      folder,
      api,
      ports: await istiodPorts(),
      gatewayPort: await freePort(),
      databaseUrl: postgres.applicationUrl(),
      publicPort: await freePort(),
    })
    await suite.#createObjects(engine.port)
    const replica = await suite.#startMintmark()
    await replica.admin('PUT', '/models/llama-3-8b', {})
    await replica.change('/tenants', { id: 'acme', audiences: ['vllm'] })
    suite.#key = (await replica.change('/tenants/acme/keys', {})).body.secret
    return suite
  }

  async fetchedByIstiod(): Promise<void> {
    console.log('\na jwksUri, which istiod fetches')
    const token = await this.#token()
    await this.#apply(this.#requestAuthentication())
    await this.#startIstiod()
    await this.#startGateway()
    await this.#statusBecomes('a token is accepted once istiod has fetched the JWKS', token, 200)
    await this.#stopMintmark()
    await this.#checks.equal('Mintmark is stopped: the token is still accepted', [200], () =>
      this.#statuses(token, 3_000),
    )
    await this.#restartIstiod()
    await this.#statusBecomes(
      'istiod restarts while Mintmark is stopped: the same token is rejected',
      token,
      401,
    )
    await this.#checks.equal('doctor sees the placeholder in the gateway', true, async () =>
      (await this.#doctor()).stdout.includes('placeholder'),
    )
    await this.#startMintmark()
    const watchedMs = (REFRESH_SECONDS + 5) * 1_000
    await this.#checks.equal(
      `Mintmark runs again: the token is still rejected after ${watchedMs / 1_000} s, longer than the refresh interval`,
      [401],
      () => this.#statuses(token, watchedMs),
    )
    const before = performance.now()
    await this.#apply(this.#engineEntry(this.#gatewayPort, 'another'))
    await this.#statusBecomes('any other change of the mesh makes istiod fetch again', token, 200)
    console.log(`  note    accepted ${((performance.now() - before) / 1_000).toFixed(1)} s after that change`)
  }

  async inline(): Promise<void> {
    console.log('\nthe default: inline, kept by mintmark sync')
    const token = await this.#token()
    if (this.#api.real) await this.#ownership(this.#api.real)
    else await this.#firstWrite()

    await this.#stopMintmark()
    await this.#istiod?.stop()
    await this.#gateway?.program.stop()
    await this.#startIstiod()
    await this.#startGateway()
    await this.#statusBecomes(
      'Mintmark is stopped when istiod and the gateway start: the token is accepted',
      token,
      200,
    )
    await this.#restartIstiod()
    await this.#checks.equal('istiod restarts: the token is accepted all the time', [200], () =>
      this.#statuses(token, RECONNECTED_MS),
    )
    await this.#gateway?.program.stop()
    await this.#startGateway()
    await this.#statusBecomes('another gateway starts: the token is accepted', token, 200)
    await this.#checks.equal(
      'sync --once says that Mintmark is unavailable, and changes nothing',
      [6, 200],
      async () => [(await this.#sync('--once')).code, await this.#status(token)],
    )
    await this.#startMintmark()
  }

  /** Field managers and rights, as a real API server has them. */
  async #ownership(real: RealApiServer): Promise<void> {
    const conflict = await this.#sync('--once')
    await this.#checks.equal(
      'sync does not overwrite what another manager applied, and names it',
      [5, true, true],
      () => [
        conflict.code,
        conflict.stderr.includes('.spec.jwtRules ("suite")'),
        conflict.stderr.includes('--force-conflicts'),
      ],
    )
    await this.#checks.equal(
      'with --force-conflicts it takes the rules over',
      0,
      async () => (await this.#sync('--once', '--force-conflicts')).code,
    )
    const object = await this.#api.admin.call('GET', OBJECT)
    await this.#checks.equal(
      'the JWKS is inline, jwksUri is gone, and sync owns the rules',
      [2, undefined, true],
      () => [
        JSON.parse(object.spec.jwtRules[0].jwks).keys.length,
        object.spec.jwtRules[0].jwksUri,
        ownersOf(object, 'f:jwtRules').includes('mintmark-sync'),
      ],
    )
    await this.#checks.equal('a second run writes nothing', object.metadata.resourceVersion, async () => {
      await this.#sync('--once')
      return (await this.#api.admin.call('GET', OBJECT)).metadata.resourceVersion
    })
    await this.#checks.equal(
      'a role with resourceNames may create the object and no other',
      [0, 3],
      async () => {
        await this.#api.admin.call('DELETE', OBJECT)
        const other = this.#file('other.yaml', this.#text().replace('name: mintmark\n', 'name: other\n'))
        return [(await this.#sync('--once')).code, (await this.#syncFile(other, '--once')).code]
      },
    )

    await this.#credentials(real)
  }

  /** The small API server has no field managers. */
  async #firstWrite(): Promise<void> {
    await this.#api.admin.call('DELETE', OBJECT)
    await this.#checks.equal(
      'sync writes the JWKS in place of jwksUri, and then nothing',
      ['written', 'unchanged'],
      async () => {
        const results = [await this.#sync('--once'), await this.#sync('--once')]
        return results.map(({ stdout }) => stdout.trim().split(' ').at(-1))
      },
    )
    const [rule] = (await this.#api.admin.call('GET', OBJECT)).spec.jwtRules
    await this.#checks.equal('the rule has the keys', [2, undefined], () => [
      JSON.parse(rule.jwks).keys.length,
      rule.jwksUri,
    ])
  }

  async #credentials(real: RealApiServer): Promise<void> {
    const pod = await real.podFolder('mintmark', 'mintmark-sync')
    const [, host = '', port = ''] = /\/\/(.*):(\d+)/.exec(real.url) ?? []
    const variables = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port }
    const inPod = new KubernetesApi(await podAccess(variables, pod.path))
    await this.#checks.equal(
      'a pod reads its token again when the old one is no longer valid',
      true,
      async () => {
        const fault = await inPod.find(OBJECT).catch(({ message }) => message)
        pod.write()
        const object = await inPod.find(OBJECT)
        return fault.includes('does not accept the credentials') && object.metadata.name === 'mintmark'
      },
    )
    await this.#checks.equal('a kubeconfig with a client certificate', 'mintmark', async () => {
      const api = new KubernetesApi(await kubeconfigAccess(real.certificateKubeconfig))
      return (await api.find(OBJECT)).metadata.name
    })
  }

  async whileItRuns(): Promise<void> {
    console.log('\nmintmark sync while it runs')
    const kubeconfig = await this.#api.kubeconfigOf('mintmark', 'mintmark-sync')
    const options = {
      istio: this.#file('istio.yaml', this.#text()),
      intervalSeconds: INTERVAL_SECONDS,
      issuer: ISSUER,
      kubeconfig,
    }
    const [one, two] = [await startSync(this.#folder, options), await startSync(this.#folder, options)]
    for (const each of [one, two]) this.#environment.onEnd(() => each.program.stop())
    const leading = async () => [
      await one.metric('mintmark_sync_leading'),
      await two.metric('mintmark_sync_leading'),
    ]
    await until('one of two has the lease', leading, found => found[0] === 1 || found[1] === 1, PUSHED_MS)
    await this.#checks.equal('one of two processes writes', 1, async () =>
      (await leading()).reduce((a, b) => a + b),
    )
    const leader = (await leading())[0] === 1 ? one : two

    await this.#rotation()

    if (this.#api.real) await this.#disturbances(this.#api.real, leader)
    const token = await this.#token()
    const [holder, heir] = (await leading())[0] === 1 ? [one, two] : [two, one]
    await holder.program.stop('SIGKILL')
    await until(
      'the other has the lease',
      () => heir.metric('mintmark_sync_leading'),
      value => value === 1,
      PUSHED_MS,
    )
    await this.#checks.equal(
      'the one with the lease is killed: the other takes over, tokens are accepted',
      200,
      () => this.#status(token),
    )
    await this.#revocation(token)
    await this.#checks.equal('no configuration was rejected by a gateway (NACK)', 0, () =>
      istiodMetric(this.#ports, 'pilot_total_xds_rejects'),
    )
    await this.#checks.equal('the gateway rejected nothing either', [true, 0], () => this.#rejected())
  }

  /** Its rights are taken away, another manager writes, the API server hangs. */
  async #disturbances({ program }: RealApiServer, leader: SyncProcess): Promise<void> {
    await this.#api.admin.call('DELETE', `${ROLE_BINDING}/mintmark-sync`)
    const unready = () => leader.get('/readyz')
    await until('it is unready', unready, ({ status }) => status === 503, PUSHED_MS)
    const token = await this.#token()
    await this.#checks.equal(
      'its rights are taken away: /readyz says what is forbidden, tokens are accepted',
      [true, 200],
      async () => [(await unready()).text.includes('forbids'), await this.#status(token)],
    )
    await this.#createRights()
    await until('it is ready again', unready, ({ status }) => status === 200, PUSHED_MS)
    await this.#checks.equal(
      'the rights are back: it is ready again',
      200,
      async () => (await unready()).status,
    )

    await this.#api.apply(this.#requestAuthentication(), 'argocd-controller')
    await until('it is unready', unready, ({ status }) => status === 503, PUSHED_MS)
    await this.#checks.equal(
      'Argo CD applies its own rules: sync names it, and does not fight',
      true,
      async () => (await unready()).text.includes('Argo CD: .spec.jwtRules (\\"argocd-controller\\")'),
    )
    await this.#sync('--once', '--force-conflicts')
    await until('it is ready again', unready, ({ status }) => status === 200, PUSHED_MS)

    program.pause()
    await until('it is unready', unready, ({ status }) => status === 503, PUSHED_MS)
    await this.#checks.equal(
      'the API server hangs: sync gives up after 10 s, tokens are accepted',
      [true, 200],
      async () => [
        (await unready()).text.includes('does not answer within 10 seconds'),
        await this.#status(token),
      ],
    )
    program.resume()
    await until('it is ready again', unready, ({ status }) => status === 200, PUSHED_MS)
  }

  /** Tokens of every moment of two rotations pass at once. */
  async #rotation(): Promise<void> {
    const statuses = new Map<number, number>()
    const kids = new Set<string>()
    for (let rotations = 0; rotations < 2; ) {
      const { status } = (await this.#replica?.admin('POST', '/signing-keys/rotate', {})) ?? { status: 0 }
      if (status === 200) rotations++
      for (let count = 0; count < 12; count++) {
        const token = await this.#token()
        kids.add(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid)
        const found = await this.#status(token)
        statuses.set(found, (statuses.get(found) ?? 0) + 1)
        await sleep(100)
      }
    }
    await this.#checks.equal(
      'two rotations: each token is accepted from its first moment',
      [[200], true],
      () => [[...statuses.keys()], kids.size >= 2],
    )
  }

  /** The gateway forgets a revoked key within an interval and a push. */
  async #revocation(token: string): Promise<void> {
    const { kid } = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())
    const answer = await this.#replica?.admin('POST', `/signing-keys/${kid}/revoke`, { reason: 'test' })
    const before = performance.now()
    await this.#statusBecomes(
      `a revoked signing key is forgotten (revocation: ${answer?.status})`,
      token,
      401,
    )
    console.log(
      `  note    ${((performance.now() - before) / 1_000).toFixed(1)} s after the revocation, at an interval of ${INTERVAL_SECONDS} s`,
    )
    await this.#checks.equal('a new token is accepted', 200, async () => this.#status(await this.#token()))
  }

  async #createObjects(enginePort: number): Promise<void> {
    for (const name of ['istio-system', 'mintmark'])
      await this.#apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await this.#createRights()
    const policies = `${deploy('authorization-policy.yaml')}---\n${deploy('envoy-filter.yaml')}`
    for (const object of objectsIn(policies)) await this.#apply(object)
    await this.#apply(this.#engineEntry(enginePort, 'engine'))
    const metadata = { name: 'engine', namespace: 'istio-system' }
    await this.#apply({
      apiVersion: 'networking.istio.io/v1',
      kind: 'Gateway',
      metadata,
      spec: {
        selector: { istio: 'ingressgateway' },
        servers: [{ port: { number: this.#gatewayPort, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
      },
    })
    await this.#apply({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata,
      spec: {
        hosts: ['*'],
        gateways: ['engine'],
        http: [{ route: [{ destination: { host: 'engine.example.com', port: { number: 80 } } }] }],
      },
    })
  }

  #engineEntry(port: number, name: string): KubernetesObject {
    return {
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name, namespace: 'istio-system' },
      spec: {
        hosts: [`${name}.example.com`],
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        resolution: 'STATIC',
        location: 'MESH_EXTERNAL',
        endpoints: [{ address: '127.0.0.1', ports: { http: port } }],
      },
    }
  }

  /** The service account, roles and lease of deploy/istio/sync/sync.yaml. */
  async #createRights(): Promise<void> {
    const objects = objectsIn(deploy('sync/sync.yaml')).filter(({ kind }) => kind !== 'Deployment')
    for (const object of objects) await this.#apply(object)
  }

  #text(): string {
    return deploy('request-authentication.yaml').replace(
      'http://mintmark.mintmark.svc.cluster.local:8080',
      `http://127.0.0.1:${this.#publicPort}`,
    )
  }

  #requestAuthentication(): KubernetesObject {
    return objectsIn(this.#text())[0]
  }

  #file(name: string, text: string): string {
    const file = join(this.#folder, name)
    writeFileSync(file, text)
    return file
  }

  #apply(object: KubernetesObject): Promise<KubernetesObject> {
    return this.#api.apply(object)
  }

  #sync(...options: string[]): Promise<Outcome> {
    return this.#syncFile(this.#file('istio.yaml', this.#text()), ...options)
  }

  /** As the service account of deploy/istio/sync/sync.yaml. */
  async #syncFile(file: string, ...options: string[]): Promise<Outcome> {
    const kubeconfig = await this.#api.kubeconfigOf('mintmark', 'mintmark-sync')
    return runMintmark(['sync', '--issuer', ISSUER, '--istio', file, '--kubeconfig', kubeconfig, ...options])
  }

  async #doctor(): Promise<Outcome> {
    const dump = await (await fetch(`${this.#gateway?.adminUrl}/config_dump`)).text()
    return runMintmark(['doctor', '--issuer', ISSUER, '--envoy', this.#file('config-dump.json', dump)])
  }

  /** Whether the gateway counts updates that it rejected, and how many. */
  async #rejected(): Promise<[boolean, number]> {
    const text = await (await fetch(`${this.#gateway?.adminUrl}/stats?filter=update_rejected`)).text()
    const counts = text
      .trim()
      .split('\n')
      .map(line => Number(line.split(': ')[1]))
    return [counts.length >= 2, counts.reduce((sum, count) => sum + count, 0)]
  }

  async #startMintmark(): Promise<Replica> {
    this.#replica = await this.#environment.replica(this.#databaseUrl, {
      MINTMARK_ISSUER: ISSUER,
      MINTMARK_PUBLIC_PORT: String(this.#publicPort),
      ...SHORT_LEAD,
    })
    return this.#replica
  }

  async #stopMintmark(): Promise<void> {
    await this.#replica?.process.kill()
  }

  async #startIstiod(): Promise<void> {
    this.#istiod = await startIstiod(this.#folder, this.#ports, this.#api)
    const { stop } = this.#istiod
    this.#environment.onEnd(() => stop())
  }

  async #restartIstiod(): Promise<void> {
    await this.#istiod?.stop('SIGTERM')
    await this.#startIstiod()
  }

  async #startGateway(): Promise<void> {
    this.#gateway = await startGateway(this.#folder, `ingress-${++this.#gateways}`, this.#ports)
    const { program } = this.#gateway
    this.#environment.onEnd(() => program.stop())
  }

  async #token(): Promise<string> {
    const answer = await this.#replica?.exchange(this.#key)
    if (!answer?.body?.access_token) throw new Error(`the key was not exchanged: ${answer?.text}`)
    return answer.body.access_token
  }

  /**
   * What the gateway answers to a call with the token; 0: nothing. On a connection of its own: Envoy drains connections that are
   * open when it receives other keys, and checks their requests with the old ones until then.
   */
  #status(token: string): Promise<number> {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const options = {
      port: this.#gatewayPort,
      path: '/v1/chat/completions',
      method: 'POST',
      agent: false,
      headers,
    }
    return new Promise(resolve => {
      const sent = request({ host: '127.0.0.1', ...options }, answer => {
        answer.resume()
        answer.once('close', () => resolve(answer.statusCode ?? 0))
      })
      sent.once('error', () => resolve(0))
      sent.end('{"model":"llama-3-8b","messages":[]}')
    })
  }

  /** All statuses of a time. */
  async #statuses(token: string, ms: number): Promise<number[]> {
    const found = new Set<number>()
    for (const end = performance.now() + ms; performance.now() < end; await sleep(100))
      found.add(await this.#status(token))
    return [...found]
  }

  async #statusBecomes(name: string, token: string, status: number): Promise<void> {
    let last = 0
    for (const end = performance.now() + PUSHED_MS; performance.now() < end; await sleep(100)) {
      last = await this.#status(token)
      if (last === status) break
    }
    await this.#checks.equal(name, status, () => last)
  }
}

const ROLE_BINDING = '/apis/rbac.authorization.k8s.io/v1/namespaces/istio-system/rolebindings'

/** The field managers that own a field of the spec. */
function ownersOf({ metadata }: KubernetesObject, field: string): string[] {
  return metadata.managedFields
    .filter((each: KubernetesObject) => each.fieldsV1?.['f:spec']?.[field])
    .map(({ manager }: KubernetesObject) => manager)
}
