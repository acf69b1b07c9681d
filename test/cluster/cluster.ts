import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Postgres } from '../faults/environment/postgres.ts'
import { type Exchange, exchange } from '../support/exchange.ts'
import { until } from '../support/until.ts'
import type { KubernetesObject } from './cluster-api.ts'
import { type ControlPlane, type Ran, startControlPlane } from './control-plane.ts'
import { HOST, makeNetwork } from './network.ts'
import { ClusterNode } from './node.ts'
import type { Pod } from './pod.ts'
import { ServiceProxy } from './service-proxy.ts'

/** Where the chart is installed, and where with secrets of its own. */
export const NAMESPACE = 'mintmark'
export const TRIAL = 'trial'
/** What the tenant of the suite may use. */
export const MODEL = 'llama-3-8b'
/** Longer than anything takes on a busy machine. */
export const WAIT_MS = 180_000
const DATABASE_KEYS = ['database-url', 'direct-url', 'migrate-database-url'] as const
const random = () => randomBytes(32).toString('base64url')

const PATHS: Record<string, string> = {
  'mintmark:8080': '/.well-known/jwks.json',
  'mintmark-admin:8081': '/admin/v1/tenants',
  'mintmark-gateway:8082': '/check',
  'mintmark-ops:8084': '/readyz',
  'mintmark-usage:8085': '/v1/logs',
}
/** Without a credential. */
export const EXPECTED_ANSWERS = {
  'mintmark:8080': 200,
  'mintmark-admin:8081': 401,
  'mintmark-gateway:8082': 401,
  'mintmark-ops:8084': 200,
  'mintmark-usage:8085': 401,
}

/** The cluster of the suite with its node, a database, and the Secrets that the chart needs. */
export class Cluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'mintmark-cluster-'))
  readonly #rootToken = random()
  /** Of gateways at the xDS listener. */
  readonly xdsToken = random()
  plane!: ControlPlane
  proxy!: ServiceProxy
  #node!: ClusterNode
  #postgres!: Postgres

  /** `empty`: with neither roles, namespaces nor our Secrets. */
  async start(onEnd: (end: () => unknown) => void, empty = false): Promise<void> {
    onEnd(() => rmSync(this.folder, { recursive: true, force: true }))
    makeNetwork()
    this.plane = await startControlPlane(this.folder, onEnd)
    this.proxy = new ServiceProxy(this.plane.api)
    this.proxy.start()
    this.#node = new ClusterNode(this.plane.api, this.proxy, this.folder)
    onEnd(() => this.#node.end())
    await this.#node.start()
    this.#postgres = await Postgres.empty({ hosts: [HOST] })
    onEnd(() => this.#postgres.remove())
    if (!empty) await this.#prepare()
    else await this.kubectl(['create', 'namespace', 'istio-system'])
  }

  /** Where the database of an installation is, for a URL. */
  get database(): string {
    return `${HOST}:${this.#postgres.port}/mintmark`
  }

  /** Statements, one a line, after comments. */
  async createRoles(sql: string): Promise<void> {
    for (const statement of sql.split('\n').filter(line => /^CREATE/.test(line)))
      await this.#postgres.sql(statement, [], 'postgres')
  }

  /** As the guide says: roles, a namespace with the restricted standard, Secrets. */
  async #prepare(): Promise<void> {
    for (const database of ['mintmark', TRIAL])
      await this.#postgres.sql(`CREATE DATABASE ${database}`, [], 'postgres')
    for (const role of ['mintmark_app NOLOGIN', 'mintmark LOGIN IN ROLE mintmark_app'])
      await this.#postgres.sql(`CREATE ROLE ${role}`, [], 'postgres')
    for (const name of [NAMESPACE, TRIAL, 'istio-system', 'gateways', 'vllm', 'inference']) {
      await this.kubectl(['create', 'namespace', name])
      await this.kubectl([
        ...['label', 'namespace', name],
        ...['pod-security.kubernetes.io/enforce=restricted', 'pod-security.kubernetes.io/warn=restricted'],
      ])
    }
    await this.databaseSecret(NAMESPACE, 'mintmark')
    await this.databaseSecret(TRIAL, TRIAL)
    await this.secret(NAMESPACE, 'mintmark-secrets', {
      peppers: `p1:${random()}`,
      'encryption-keys': `e1:${random()}`,
      'root-token': this.#rootToken,
    })
    await this.secret(NAMESPACE, 'mintmark-xds', { tokens: this.xdsToken })
    const volume = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'snapshots' },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteMany'],
        hostPath: { path: join(this.folder, 'snapshots') },
      },
    }
    await this.plane.api.post('/api/v1/persistentvolumes', volume)
  }

  /** Of a tenant that may use the one model. */
  async makeKeys(count: number): Promise<string[]> {
    const secrets: string[] = []
    await this.admin('PUT', `/models/${MODEL}`, {})
    await this.admin('POST', '/tenants', { id: 'acme' })
    while (secrets.length < count) secrets.push((await this.admin('POST', '/tenants/acme/keys', {})).secret)
    return secrets
  }

  /** @throws {Error} with the answer when it is not a success */
  async admin(method: string, path: string, body?: object): Promise<KubernetesObject> {
    const url = `http://${this.proxy.address(NAMESPACE, 'mintmark-admin')}:8081/admin/v1${path}`
    const headers = { authorization: `Bearer ${this.#rootToken}`, 'content-type': 'application/json' }
    const answer = await fetch(url, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }

  /** The status that each Service answers to one request. */
  async answers(): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    for (const [name, path] of Object.entries(PATHS)) {
      const [service = '', port] = name.split(':')
      const url = `http://${this.proxy.address(NAMESPACE, service)}:${port}${path}`
      found[name] = await fetch(url, { method: path === '/v1/logs' ? 'POST' : 'GET' }).then(
        ({ status }) => status,
        () => 0,
      )
    }
    return found
  }

  async tokenUrl(): Promise<string> {
    const address = () => this.proxy.address(NAMESPACE, 'mintmark')
    await until('the Service is there', async () => address(), Boolean, WAIT_MS)
    return `http://${address()}:8080/oauth/token`
  }

  async jwks(): Promise<string | undefined> {
    const path = '/apis/security.istio.io/v1/namespaces/istio-system/requestauthentications/mintmark'
    const { spec } = await this.plane.api.get(path)
    return spec.jwtRules?.[0]?.jwks
  }

  replicas = (): Pod[] => this.pods('mintmark')

  /** The running pods of this name. */
  pods(name: string, namespace = NAMESPACE): Pod[] {
    return this.#node
      .pods('app.kubernetes.io/name', name)
      .filter(({ object }) => object.metadata.namespace === namespace)
  }

  /** All of its pods, those of hooks too. */
  podsOfRelease = (release: string): Pod[] => this.#node.pods('app.kubernetes.io/instance', release)

  /** Sets the number of replicas of a Deployment, and waits until as many pods run. */
  async scale(name: string, replicas: number): Promise<void> {
    await this.kubectl(['scale', `deployment/${name}`, '--namespace', NAMESPACE, `--replicas=${replicas}`])
    const found = async () => this.pods(name).filter(pod => replicas === 0 || pod.isReady).length
    await until(`${replicas} of ${name}`, found, count => count === replicas, WAIT_MS)
  }

  /** `keys`: for the URLs of the application role, of Postgres itself, and of the owner. */
  databaseSecret(
    namespace: string,
    database: string,
    name = 'mintmark-database',
    [app, direct, owner]: readonly [string, string, string] = DATABASE_KEYS,
  ) {
    const url = (role: string) => `postgres://${role}@${HOST}:${this.#postgres.port}/${database}`
    return this.secret(namespace, name, {
      [app]: url('mintmark'),
      [direct]: url('mintmark'),
      [owner]: url('postgres'),
    })
  }

  secret(namespace: string, name: string, values: Record<string, string>) {
    const literals = Object.entries(values).map(([key, value]) => `--from-literal=${key}=${value}`)
    return this.kubectl(['create', 'secret', 'generic', name, '--namespace', namespace, ...literals])
  }

  /** @throws {Error} with its output when it fails */
  async kubectl(args: string[]): Promise<Ran> {
    const ran = await this.plane.kubectl(args)
    if (!ran.ok) throw new Error(ran.output)
    return ran
  }

  helm(args: string[], values?: object, namespace = NAMESPACE): Promise<Ran> {
    const given = values ? ['--values', '-'] : []
    return this.plane.helm([...args, ...given, '--namespace', namespace], values && JSON.stringify(values))
  }

  async exchange([secret = '']: string[]): Promise<number> {
    return (await this.#exchanged(secret)).status
  }

  async token([secret = '']: string[]): Promise<string> {
    return (await this.#exchanged(secret)).token
  }

  async #exchanged(secret: string): Promise<Exchange> {
    return exchange(await this.tokenUrl(), { grant_type: 'client_credentials', client_secret: secret })
  }
}
