import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServer } from '../support/global-setup.ts'
import { until } from '../support/until.ts'
import type { KubernetesObject } from './api-server.ts'
import { type ControlPlane, KUBERNETES, missingTools, startControlPlane } from './control-plane.ts'
import { createRoles } from './database.ts'
import { Exchanges } from './exchanges.ts'
import { PodRunner } from './node.ts'
import { ServiceProxy } from './service-proxy.ts'
import { helm, kubectl } from './tools.ts'

/**
 * cluster/ installs the Helm chart on a real control plane (etcd, kube-apiserver, kube-controller-manager), and runs what its pods
 * would run as processes:
 *
 *   npm run cluster
 *
 * Needs root on Linux, for a network namespace of its own, and what `bash scripts/install-cluster-tools.sh` installs. Ends with
 * "N passed, N failed".
 */
const INSIDE = 'MINTMARK_CLUSTER_NAMESPACE'
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CHART = join(ROOT, 'deploy/helm/mintmark')
const NAMESPACE = 'mintmark'
const EXCHANGES_PER_SECOND = 100
const HELM_TIMEOUT = '180s'

const PRODUCTION = {
  image: { repository: 'registry.example.com/mintmark' },
  issuer: 'https://tokens.example.com',
  database: { existingSecret: 'mintmark-database' },
  secrets: { existingSecret: 'mintmark-secrets' },
}
/** Every object of the chart, in the combinations that its README and the guide name. */
const COMBINATIONS = {
  production: PRODUCTION,
  'the trial database, and generated secrets': {
    ...PRODUCTION,
    database: {},
    secrets: { generate: true },
    trialDatabase: { enabled: true },
  },
  'everything optional': {
    ...PRODUCTION,
    settings: { MINTMARK_FAILURES_PER_MINUTE: 1_000_000 },
    autoscaling: { enabled: true },
    networkPolicy: { enabled: true, publicFrom: [{ namespaceSelector: {} }], opsFrom: [{ podSelector: {} }] },
    httpRoute: { enabled: true, parentRefs: [{ name: 'public' }], hostnames: ['tokens.example.com'] },
    serviceMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    istio: { enabled: true },
  },
  'closed listeners': { ...PRODUCTION, services: { admin: false, gateway: false } },
}

if (process.env[INSIDE]) await inside()
else outside()

/** Runs this file again, in a network and mount namespace with addresses for pods and Services. */
function outside(): void {
  const missing = missingTools()
  if (missing.length > 0) {
    console.log(`missing: ${missing.join(', ')}; run \`bash scripts/install-cluster-tools.sh\``)
    process.exitCode = 2
    return
  }
  const script = `set -e
    mount --make-rprivate /
    hosts=$(mktemp); cp /etc/hosts "$hosts"; mount --bind "$hosts" /etc/hosts
    ip link set lo up
    ip route add local 10.244.0.0/16 dev lo
    ip route add local 10.96.0.0/16 dev lo
    exec "$0" "$@"`
  const { status } = spawnSync(
    'unshare',
    ['--net', '--mount', 'bash', '-c', script, process.execPath, fileURLToPath(import.meta.url)],
    { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } },
  )
  process.exitCode = status ?? 1
}

async function inside(): Promise<void> {
  const suite = new Suite()
  try {
    await suite.run()
  } catch (error) {
    suite.check('the suite ran to its end', false, (error as Error).message)
  } finally {
    await suite.end()
  }
  console.log(`\n${suite.passed} passed, ${suite.failed} failed`)
  process.exitCode = suite.failed > 0 ? 1 : 0
}

class Suite {
  passed = 0
  failed = 0
  readonly #ends: (() => Promise<void> | void)[] = []

  check(what: string, holds: boolean, detail = ''): void {
    if (holds) this.passed++
    else this.failed++
    console.log(`  ${holds ? 'ok    ' : 'FAILED'}  ${what}${holds || !detail ? '' : `\n${detail}`}`)
  }

  async end(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end()
  }

  async run(): Promise<void> {
    const began = performance.now()
    const plane = await startControlPlane()
    this.#ends.push(plane.stop)
    console.log(`the control plane is ready after ${seconds(began)}`)
    await this.#definitions(plane)
    await this.#strict(plane)
    await this.#installation(plane)
    console.log(`done after ${seconds(began)}`)
  }

  async #definitions(plane: ControlPlane): Promise<void> {
    const folder = join(KUBERNETES, 'crds')
    for (const file of readdirSync(folder)) {
      const { ok, output } = await kubectl(plane, ['apply', '--server-side', '-f', join(folder, file)])
      this.check(`definitions of resources: ${file}`, ok, output)
    }
    await kubectl(plane, ['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'])
    for (const name of [NAMESPACE, 'istio-system']) await kubectl(plane, ['create', 'namespace', name])
    await kubectl(plane, ['label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted'])
  }

  /** What the API server says of every object: unknown fields, wrong values, rules of definitions, Pod Security. */
  async #strict(plane: ControlPlane): Promise<void> {
    for (const [name, values] of Object.entries(COMBINATIONS)) {
      const rendered = await helm(plane, ['template', 'mintmark', CHART], values)
      const { ok, output } = await kubectl(
        plane,
        ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-n', NAMESPACE, '-f', '-'],
        rendered.output,
      )
      this.check(`strict server-side apply: ${name}`, ok && !/warning/i.test(output), output)
    }
    const { output } = await helm(plane, ['template', 'mintmark', CHART], PRODUCTION)
    const wrong = output.replace('runAsNonRoot: true', 'runAsNonRoot: false')
    const refused = await kubectl(plane, ['apply', '--dry-run=server', '-n', NAMESPACE, '-f', '-'], wrong)
    this.check(
      'the API server warns of a pod that is not restricted',
      /PodSecurity/.test(refused.output),
      refused.output,
    )
  }

  async #installation(plane: ControlPlane): Promise<void> {
    const { api } = plane
    const postgres = await startServer()
    this.#ends.push(postgres.stop)
    const { application, owner } = await createRoles(postgres.url)
    const rootToken = random()
    await secret(plane, 'mintmark-database', { 'database-url': application, 'migrate-database-url': owner })
    await secret(plane, 'mintmark-secrets', {
      peppers: `p1:${random()}`,
      'encryption-keys': `e1:${random()}`,
      'root-token': rootToken,
    })
    const node = new PodRunner(api, plane.folder)
    await node.start()
    const proxy = new ServiceProxy(api)
    proxy.start()
    this.#ends.push(
      () => proxy.stop(),
      () => node.stop(),
    )
    const pods = async () =>
      (
        await api.list(`/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=app.kubernetes.io/name=mintmark`)
      ).filter(({ metadata, spec }) => !metadata.deletionTimestamp && spec.restartPolicy === 'Always')
    const logs = async () =>
      (await api.list(`/api/v1/namespaces/${NAMESPACE}/pods`)).map(
        ({ metadata, status }: KubernetesObject) =>
          `${metadata.name} ${status.phase}\n${node.log(metadata.uid).slice(-2_000)}`,
      )
    const release = async (what: string, command: string[], values?: object) => {
      const began = performance.now()
      const args = [...command, '--namespace', NAMESPACE, '--wait', '--timeout', HELM_TIMEOUT]
      const { ok, output } = await helm(plane, args, values)
      this.check(
        `${what} (${seconds(began)})`,
        ok,
        ok ? '' : `${output}\n${(await logs()).join('\n')}\n${node.faults}\n${plane.logs()}`,
      )
      return ok
    }

    if (!(await release('helm install', ['install', 'mintmark', CHART], PRODUCTION))) return
    const first = await pods()
    this.check('two replicas run', first.length === 2, `${first.length}`)
    await release('helm test', ['test', 'mintmark'])

    const apiKey = await createKey(rootToken)
    const load = new Exchanges(
      'http://mintmark.mintmark.svc.cluster.local:8080',
      apiKey,
      EXCHANGES_PER_SECOND,
    )
    await until('exchanges are answered', () => load.done > EXCHANGES_PER_SECOND, Boolean, 30_000)
    await release('helm upgrade, under load', ['upgrade', 'mintmark', CHART], {
      ...PRODUCTION,
      settings: { MINTMARK_TOKEN_TTL_SECONDS: 600 },
    })
    const second = await pods()
    this.check(
      'the upgrade replaced each replica',
      second.every(({ metadata }) => first.every(old => old.metadata.uid !== metadata.uid)),
    )
    await release('helm rollback, under load', ['rollback', 'mintmark', '1'])
    const [victim] = await pods()
    const before = load.failures.length
    node.kill(victim.metadata.uid)
    await until(
      'the controller replaces a killed pod',
      async () => {
        const now = await pods()
        return (
          now.length === 2 &&
          now.every(({ metadata, status }) => metadata.uid !== victim.metadata.uid && isReady(status))
        )
      },
      Boolean,
      60_000,
    )
    const whileKilled = load.failures.length - before
    await load.stop()
    const others = load.failures.slice(0, before)
    this.check(
      `0 of ${load.done} exchanges failed during the upgrade and the rollback`,
      others.length === 0,
      others.join('\n'),
    )
    console.log(
      `  note    ${whileKilled} exchanges failed around the kill -9 of a pod, until its endpoint was removed`,
    )

    await release('helm uninstall', ['uninstall', 'mintmark'])
    await until('all pods are gone', async () => (await pods()).length === 0, Boolean, 60_000)
    const kept = await kubectl(plane, ['get', 'secret', 'mintmark-secrets', '-n', NAMESPACE])
    this.check('the secrets are kept', kept.ok, kept.output)

    const generated = { ...PRODUCTION, secrets: { generate: true } }
    if (
      !(await release('helm install, with generated secrets', ['install', 'mintmark-two', CHART], {
        ...generated,
        migration: { enabled: true },
      }))
    )
      return
    const values = async () =>
      (await kubectl(plane, ['get', 'secret', 'mintmark-two', '-n', NAMESPACE, '-o', 'jsonpath={.data}']))
        .output
    const made = await values()
    await release('helm upgrade, with generated secrets', ['upgrade', 'mintmark-two', CHART], {
      ...generated,
      replicas: 1,
    })
    this.check('an upgrade keeps generated secrets', (await values()) === made && made.includes('peppers'))
    await release('helm uninstall', ['uninstall', 'mintmark-two'])
    this.check('an uninstall keeps generated secrets', (await values()) === made)
    this.check(
      'the suite itself had no fault',
      node.faults.length + proxy.faults.length === 0,
      [...node.faults, ...proxy.faults].join('\n'),
    )
  }
}

const seconds = (since: number) => `${((performance.now() - since) / 1_000).toFixed(1)} s`
const random = () => randomBytes(32).toString('base64url')
const isReady = (status: KubernetesObject) =>
  status.conditions?.some(
    (each: { type: string; status: string }) => each.type === 'Ready' && each.status === 'True',
  )

async function secret(plane: ControlPlane, name: string, data: Record<string, string>): Promise<void> {
  const literals = Object.entries(data).map(([key, value]) => `--from-literal=${key}=${value}`)
  const { ok, output } = await kubectl(plane, [
    'create',
    'secret',
    'generic',
    name,
    '-n',
    NAMESPACE,
    ...literals,
  ])
  if (!ok) throw new Error(output)
}

/** The first API key, through the admin Service. */
async function createKey(rootToken: string): Promise<string> {
  const post = async (path: string, body: object) => {
    const answer = await fetch(`http://mintmark-admin.mintmark.svc.cluster.local:8081/admin/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${rootToken}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (answer.status !== 201) throw new Error(`POST ${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as { secret: string }
  }
  await post('/tenants', { id: 'acme', name: 'Acme' })
  return (await post('/tenants/acme/keys', { name: 'first' })).secret
}
