import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Checks } from '../engine/checks.ts'
import { Postgres } from '../faults/environment/postgres.ts'
import { until } from '../support/until.ts'
import { type ControlPlane, type Ran, startControlPlane } from './control-plane.ts'
import { type Exchanged, failures, startLoad } from './load.ts'
import { INSTALLED, MODES, NONSENSE, PRODUCTION } from './modes.ts'
import { HOST, makeNetwork } from './network.ts'
import { ClusterNode } from './node.ts'
import { ServiceProxy } from './service-proxy.ts'

const CHART = fileURLToPath(new URL('../../deploy/helm/mintmark', import.meta.url))
const EXAMPLES = fileURLToPath(new URL('../../deploy/helm/examples', import.meta.url))
const NAMESPACE = 'mintmark'
const TRIAL = 'trial'
const EXCHANGES_PER_SECOND = 300
const WAIT_MS = 60_000
const random = () => randomBytes(32).toString('base64url')

/** The cluster of the suite, and what is shown on it. */
export class Suite {
  readonly #checks: Checks
  readonly #onEnd: (end: () => unknown) => void
  readonly #folder = mkdtempSync(join(tmpdir(), 'mintmark-cluster-'))
  readonly #rootToken = random()
  #plane!: ControlPlane
  #proxy!: ServiceProxy
  #node!: ClusterNode
  #postgres!: Postgres

  constructor(checks: Checks, onEnd: (end: () => unknown) => void) {
    this.#checks = checks
    this.#onEnd = onEnd
    onEnd(() => rmSync(this.#folder, { recursive: true, force: true }))
  }

  async run(): Promise<void> {
    makeNetwork()
    this.#plane = await startControlPlane(this.#folder, this.#onEnd)
    this.#proxy = new ServiceProxy(this.#plane.api)
    this.#proxy.start()
    this.#node = new ClusterNode(this.#plane.api, this.#proxy, this.#folder)
    this.#onEnd(() => this.#node.end())
    await this.#node.start()
    this.#postgres = await Postgres.empty({ hosts: [HOST] })
    this.#onEnd(() => this.#postgres.remove())
    await this.#prepare()
    await this.#modes()
    await this.#install()
    const secrets = await this.#makeKeys(20)
    await this.#upgrade(secrets)
    await this.#uninstall(secrets)
    await this.#generated()
  }

  /** As the guide says: roles, a namespace with the restricted standard, Secrets. */
  async #prepare(): Promise<void> {
    for (const database of ['mintmark', TRIAL])
      await this.#postgres.sql(`CREATE DATABASE ${database}`, [], 'postgres')
    for (const role of ['mintmark_app NOLOGIN', 'mintmark LOGIN IN ROLE mintmark_app'])
      await this.#postgres.sql(`CREATE ROLE ${role}`, [], 'postgres')
    for (const name of [NAMESPACE, TRIAL, 'istio-system', 'gateways', 'vllm', 'inference']) {
      await this.#kubectl(['create', 'namespace', name])
      await this.#kubectl([
        ...['label', 'namespace', name],
        ...['pod-security.kubernetes.io/enforce=restricted', 'pod-security.kubernetes.io/warn=restricted'],
      ])
    }
    await this.#databaseSecret(NAMESPACE, 'mintmark')
    await this.#databaseSecret(TRIAL, TRIAL)
    await this.#secret(NAMESPACE, 'mintmark-secrets', {
      peppers: `p1:${random()}`,
      'encryption-keys': `e1:${random()}`,
      'root-token': this.#rootToken,
    })
    await this.#secret(NAMESPACE, 'mintmark-xds', { tokens: random() })
    const volume = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'snapshots' },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteMany'],
        hostPath: { path: join(this.#folder, 'snapshots') },
      },
    }
    await this.#plane.api.post('/api/v1/persistentvolumes', volume)
  }

  async #modes(): Promise<void> {
    console.log('\nthe modes of the chart, by strict server-side apply')
    const apply = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--filename', '-']
    for (const [name, values] of Object.entries(MODES)) {
      await this.#checks.equal(name, 'accepted, without a warning', async () => {
        const rendered = await this.#helm(['template', 'mintmark', CHART], values)
        if (!rendered.ok) return rendered.output
        return verdict(await this.#plane.kubectl(apply, rendered.stdout))
      })
    }
    const examples = readdirSync(EXAMPLES).filter(name => name !== 'cloudnative-pg.yaml')
    for (const name of examples) {
      await this.#checks.equal(`deploy/helm/examples/${name}`, 'accepted, without a warning', async () =>
        verdict(await this.#plane.kubectl(apply, readFileSync(join(EXAMPLES, name), 'utf8'))),
      )
    }
    await this.#checks.equal('the API server rejects what it alone knows to be wrong', false, async () => {
      const { stdout } = await this.#helm(['template', 'mintmark', CHART], NONSENSE)
      return (await this.#plane.kubectl(apply, stdout)).ok
    })
  }

  async #install(): Promise<void> {
    console.log('\ninstallation')
    const began = performance.now()
    await this.#checks.equal('helm install: the hook migrates, two replicas become ready', 'ok', async () =>
      reported(await this.#helm(['install', 'mintmark', CHART, '--wait', '--timeout=180s'], INSTALLED)),
    )
    console.log(`  note    ${since(began)} s`)
    await this.#checks.equal('helm test', 'ok', async () => reported(await this.#helm(['test', 'mintmark'])))
    await this.#checks.equal('two endpoints', 2, () => this.#proxy.endpoints(NAMESPACE, 'mintmark'))
    await this.#checks.equal('sync writes the JWKS with the rights of its own service account', true, () =>
      until('the JWKS is there', () => this.#jwks(), Boolean, WAIT_MS).then(Boolean),
    )
    const snapshots = () =>
      readdirSync(join(this.#folder, 'snapshots'), { recursive: true, encoding: 'utf8' })
    await this.#checks.equal('snapshots are on the volume', true, () =>
      until(
        'a snapshot',
        async () => snapshots().some(name => name.endsWith('.snapshot')),
        Boolean,
        WAIT_MS + 30_000,
      ),
    )
    await this.#checks.equal('every listener that has a Service answers there', EXPECTED_ANSWERS, () =>
      this.#answers(),
    )
    await this.#checks.equal(
      'the processes are user 1000, without capabilities, and cannot write to their root',
      ['1000 0000000000000000 1 ro', '1000 0000000000000000 1 ro'],
      () => this.#replicas().map(pod => pod.confinement()),
    )
  }

  async #upgrade(secrets: string[]): Promise<void> {
    console.log(`\nupgrade and rollback, with ${EXCHANGES_PER_SECOND} exchanges a second`)
    const load = startLoad(await this.#tokenUrl(), EXCHANGES_PER_SECOND, secrets)
    this.#onEnd(() => load.end())
    await sleep(3_000)
    const before = this.#replicas().map(({ object }) => object.metadata.uid)
    const next = { ...INSTALLED, image: { ...INSTALLED.image, tag: 'second' } }
    await this.#checks.equal('helm upgrade', 'ok', async () =>
      reported(await this.#helm(['upgrade', 'mintmark', CHART, '--wait', '--timeout=180s'], next)),
    )
    await this.#checks.equal('it replaced both replicas', [2, 0], () => {
      const now = this.#replicas().filter(pod => pod.isReady)
      return [now.length, now.filter(({ object }) => before.includes(object.metadata.uid)).length]
    })
    await this.#checks.equal('the JWKS that sync wrote is still there', true, async () =>
      Boolean(await this.#jwks()),
    )
    await this.#checks.equal('helm rollback', 'ok', async () =>
      reported(await this.#helm(['rollback', 'mintmark', '--wait', '--timeout=180s'])),
    )
    await sleep(2_000)
    const exchanged = await load.stop()
    note(exchanged)
    await this.#checks.equal('exchanges that failed', 0, () => failures(exchanged))
    await this.#checks.equal('there were thousands', true, () => (exchanged.outcomes['200'] ?? 0) > 3_000)
    await this.#halfKilled(secrets)
  }

  async #halfKilled(secrets: string[]): Promise<void> {
    await until(
      'two replicas',
      async () => this.#proxy.endpoints(NAMESPACE, 'mintmark'),
      count => count === 2,
      WAIT_MS,
    )
    const load = startLoad(await this.#tokenUrl(), EXCHANGES_PER_SECOND, secrets)
    this.#onEnd(() => load.end())
    await sleep(3_000)
    const [half] = this.#replicas().filter(pod => pod.isReady)
    load.mark()
    half?.killContainer()
    await sleep(5_000)
    const exchanged = await load.stop()
    note(exchanged)
    await this.#checks.equal(
      'half of the replicas killed: at most the exchanges under way fail',
      true,
      () => {
        const failed = failures(exchanged)
        return failed <= exchanged.mostUnderWay
      },
    )
    await this.#checks.equal('and none that is sent half a second later', [], () =>
      Object.keys(exchanged.outcomes).filter(name => name.endsWith('afterwards')),
    )
    await this.#checks.equal('the killed one is ready again', 2, () =>
      until(
        'two replicas',
        async () => this.#proxy.endpoints(NAMESPACE, 'mintmark'),
        count => count === 2,
        WAIT_MS,
      ),
    )
  }

  async #uninstall(secrets: string[]): Promise<void> {
    console.log('\nuninstall, and install again')
    await this.#checks.equal('helm uninstall', 'ok', async () =>
      reported(await this.#helm(['uninstall', 'mintmark', '--wait', '--timeout=120s'])),
    )
    await this.#checks.equal('what is left of it', ['persistentvolumeclaim/mintmark-snapshots'], async () => {
      const kinds =
        'all,configmap,ingress,networkpolicy,poddisruptionbudget,pvc,role,rolebinding,lease,servicemonitor'
      const selector = 'app.kubernetes.io/instance=mintmark'
      const pods = () => this.#replicas().length
      await until(
        'the pods are gone',
        async () => pods(),
        count => count === 0,
        WAIT_MS,
      )
      const found = await this.#kubectl([
        'get',
        kinds,
        '--all-namespaces',
        '--selector',
        selector,
        '--output',
        'name',
      ])
      return found.stdout.trim().split('\n')
    })
    await this.#checks.equal('helm install again', 'ok', async () =>
      reported(await this.#helm(['install', 'mintmark', CHART, '--wait', '--timeout=180s'], INSTALLED)),
    )
    await this.#checks.equal('keys of before are exchanged', 200, async () => {
      const body = new URLSearchParams({ grant_type: 'client_credentials', client_secret: secrets[0] ?? '' })
      return (await fetch(await this.#tokenUrl(), { method: 'POST', body })).status
    })
  }

  async #generated(): Promise<void> {
    console.log('\nsecrets that the chart generates')
    const { image, issuer, database } = PRODUCTION
    const values = { image, issuer, database, secrets: { generate: true } }
    const secret = async () => {
      const found = await this.#plane.api.get(`/api/v1/namespaces/${TRIAL}/secrets/other-mintmark`)
      return found.data as Record<string, string>
    }
    const run =
      (...command: string[]) =>
      async () => {
        const given = ['install', 'upgrade'].includes(command[0] ?? '') ? values : undefined
        return reported(await this.#helm([...command, '--wait', '--timeout=180s'], given, TRIAL))
      }
    await this.#checks.equal('helm install', 'ok', run('install', 'other', CHART))
    const first = await secret()
    await this.#checks.equal('helm upgrade', 'ok', run('upgrade', 'other', CHART))
    await this.#checks.equal('the upgrade keeps them', first, secret)
    await this.#checks.equal('helm uninstall', 'ok', run('uninstall', 'other'))
    await this.#checks.equal('the uninstall keeps them', first, secret)
    await this.#checks.equal(
      'helm install again, with the same database',
      'ok',
      run('install', 'other', CHART),
    )
    await this.#checks.equal('and the same secrets', first, secret)
  }

  async #makeKeys(count: number): Promise<string[]> {
    const secrets: string[] = []
    const admin = async (path: string, body: object) => {
      const answer = await fetch(
        `http://${this.#proxy.address(NAMESPACE, 'mintmark-admin')}:8081/admin/v1${path}`,
        {
          method: 'POST',
          headers: { authorization: `Bearer ${this.#rootToken}`, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        },
      )
      if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
      return (await answer.json()) as { secret: string }
    }
    await admin('/tenants', { id: 'acme' })
    while (secrets.length < count) secrets.push((await admin('/tenants/acme/keys', {})).secret)
    return secrets
  }

  /** The status that each Service answers to one request. */
  async #answers(): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    for (const [name, path] of Object.entries(PATHS)) {
      const [service = '', port] = name.split(':')
      const url = `http://${this.#proxy.address(NAMESPACE, service)}:${port}${path}`
      found[name] = await fetch(url, { method: path === '/v1/logs' ? 'POST' : 'GET' }).then(
        ({ status }) => status,
        () => 0,
      )
    }
    return found
  }

  async #tokenUrl(): Promise<string> {
    const address = () => this.#proxy.address(NAMESPACE, 'mintmark')
    await until('the Service is there', async () => address(), Boolean, WAIT_MS)
    return `http://${address()}:8080/oauth/token`
  }

  async #jwks(): Promise<string | undefined> {
    const path = '/apis/security.istio.io/v1/namespaces/istio-system/requestauthentications/mintmark'
    const { spec } = await this.#plane.api.get(path)
    return spec.jwtRules?.[0]?.jwks
  }

  #replicas() {
    return this.#node
      .pods('app.kubernetes.io/name', 'mintmark')
      .filter(({ object }) => object.metadata.namespace === NAMESPACE)
  }

  #databaseSecret(namespace: string, database: string) {
    const url = (role: string) => `postgres://${role}@${HOST}:${this.#postgres.port}/${database}`
    return this.#secret(namespace, 'mintmark-database', {
      'database-url': url('mintmark'),
      'direct-url': url('mintmark'),
      'migrate-database-url': url('postgres'),
    })
  }

  #secret(namespace: string, name: string, values: Record<string, string>) {
    const literals = Object.entries(values).map(([key, value]) => `--from-literal=${key}=${value}`)
    return this.#kubectl(['create', 'secret', 'generic', name, '--namespace', namespace, ...literals])
  }

  /** @throws {Error} with its output when it fails */
  async #kubectl(args: string[]): Promise<Ran> {
    const ran = await this.#plane.kubectl(args)
    if (!ran.ok) throw new Error(ran.output)
    return ran
  }

  #helm(args: string[], values?: object, namespace = NAMESPACE): Promise<Ran> {
    const given = values ? ['--values', '-'] : []
    return this.#plane.helm([...args, ...given, '--namespace', namespace], values && JSON.stringify(values))
  }
}

const PATHS: Record<string, string> = {
  'mintmark:8080': '/.well-known/jwks.json',
  'mintmark-admin:8081': '/admin/v1/tenants',
  'mintmark-gateway:8082': '/check',
  'mintmark-ops:8084': '/readyz',
  'mintmark-usage:8085': '/v1/logs',
}
/** Without a credential. */
const EXPECTED_ANSWERS = {
  'mintmark:8080': 200,
  'mintmark-admin:8081': 401,
  'mintmark-gateway:8082': 401,
  'mintmark-ops:8084': 200,
  'mintmark-usage:8085': 401,
}

const reported = ({ ok, output }: Ran): string => (ok ? 'ok' : output)

const verdict = ({ ok, output }: Ran): string =>
  ok && !/^warning/im.test(output) ? 'accepted, without a warning' : output

const note = ({ outcomes, mostUnderWay }: Exchanged) =>
  console.log(`  note    exchanges by status: ${JSON.stringify(outcomes)}; at most ${mostUnderWay} under way`)

const since = (began: number) => ((performance.now() - began) / 1_000).toFixed(1)
