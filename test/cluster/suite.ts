import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Checks } from '../engine/checks.ts'
import { missingPrograms as missingOfMesh } from '../istiod/programs.ts'
import { until } from '../support/until.ts'
import { Cluster, EXPECTED_ANSWERS, NAMESPACE, TRIAL, WAIT_MS } from './cluster.ts'
import { checkContractOfChart } from './contract.ts'
import type { Ran } from './control-plane.ts'
import { InstalledGateway } from './gateway.ts'
import { followGuide } from './guide.ts'
import { type Exchanged, failures, startLoad } from './load.ts'
import { INSTALLED, MODES, NONSENSE, PRODUCTION } from './modes.ts'
import { checkWorkloads } from './workloads.ts'

const CHART = fileURLToPath(new URL('../../deploy/helm/mintmark', import.meta.url))
const EXAMPLES = fileURLToPath(new URL('../../deploy/helm/examples', import.meta.url))
/** Unless the command says another number. */
export const EXCHANGES_PER_SECOND = 300

/** The cluster of the suite, and what is shown on it. */
export class Suite {
  readonly #checks: Checks
  readonly #onEnd: (end: () => unknown) => void
  readonly #perSecond: number
  readonly #cluster = new Cluster()

  constructor(checks: Checks, onEnd: (end: () => unknown) => void, perSecond: number) {
    this.#checks = checks
    this.#onEnd = onEnd
    this.#perSecond = perSecond
  }

  /** `only`: one part of it. */
  async run(only?: 'modes' | 'contract' | 'workloads' | 'install' | 'guide'): Promise<void> {
    await this.#cluster.start(this.#onEnd, only === 'guide')
    const withoutIstiod = missingOfMesh()
    if (withoutIstiod) console.log(`  note    without a gateway: ${withoutIstiod}`)
    if (only === 'guide') {
      if (withoutIstiod) throw new Error('the guide leads to a gateway')
      const gateway = new InstalledGateway(this.#checks, this.#onEnd, this.#cluster)
      return followGuide(this.#checks, this.#cluster, () => gateway.start())
    }
    const has = (part: string) => only === undefined || only === part
    if (has('modes')) await this.#modes()
    if (has('contract') && !withoutIstiod)
      await checkContractOfChart(this.#checks, this.#cluster.plane.kubeconfig)
    if (has('workloads') || has('install'))
      await this.#lifecycle(
        { workloads: has('workloads'), releases: has('install') },
        withoutIstiod === undefined,
      )
  }

  async #lifecycle(parts: { workloads: boolean; releases: boolean }, withGateway: boolean): Promise<void> {
    await this.#install()
    const secrets = await this.#cluster.makeKeys(20)
    if (parts.workloads) await checkWorkloads(this.#checks, this.#cluster, this.#onEnd)
    if (!parts.releases) return
    if (withGateway) await new InstalledGateway(this.#checks, this.#onEnd, this.#cluster).run(secrets)
    await this.#upgrade(secrets)
    await this.#failedMigration(secrets)
    await this.#uninstall(secrets)
    await this.#generated()
  }

  async #modes(): Promise<void> {
    console.log('\nthe modes of the chart, by strict server-side apply')
    const apply = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--filename', '-']
    for (const [name, values] of Object.entries(MODES)) {
      await this.#checks.equal(name, 'accepted, without a warning', async () => {
        const rendered = await this.#cluster.helm(['template', 'mintmark', CHART], values)
        if (!rendered.ok) return rendered.output
        return verdict(await this.#cluster.plane.kubectl(apply, rendered.stdout))
      })
    }
    const examples = readdirSync(EXAMPLES).filter(name => name !== 'cloudnative-pg.yaml')
    for (const name of examples) {
      await this.#checks.equal(`deploy/helm/examples/${name}`, 'accepted, without a warning', async () =>
        verdict(await this.#cluster.plane.kubectl(apply, readFileSync(join(EXAMPLES, name), 'utf8'))),
      )
    }
    await this.#checks.equal('the API server rejects what it alone knows to be wrong', false, async () => {
      const { stdout } = await this.#cluster.helm(['template', 'mintmark', CHART], NONSENSE)
      return (await this.#cluster.plane.kubectl(apply, stdout)).ok
    })
  }

  async #install(): Promise<void> {
    console.log('\ninstallation')
    const began = performance.now()
    await this.#checks.equal('helm install: the hook migrates, two replicas become ready', 'ok', async () =>
      reported(
        await this.#cluster.helm(['install', 'mintmark', CHART, '--wait', '--timeout=180s'], INSTALLED),
      ),
    )
    console.log(`  note    ${since(began)} s`)
    await this.#checks.equal('helm test', 'ok', async () =>
      reported(await this.#cluster.helm(['test', 'mintmark'])),
    )
    await this.#checks.equal('two endpoints', 2, () => this.#cluster.proxy.endpoints(NAMESPACE, 'mintmark'))
    await this.#checks.equal('sync writes the JWKS with the rights of its own service account', true, () =>
      until('the JWKS is there', () => this.#cluster.jwks(), Boolean, WAIT_MS).then(Boolean),
    )
    const snapshots = () =>
      readdirSync(join(this.#cluster.folder, 'snapshots'), { recursive: true, encoding: 'utf8' })
    await this.#checks.equal('snapshots are on the volume', true, () =>
      until(
        'a snapshot',
        async () => snapshots().some(name => name.endsWith('.snapshot')),
        Boolean,
        WAIT_MS + 30_000,
      ),
    )
    await this.#checks.equal('every listener that has a Service answers there', EXPECTED_ANSWERS, () =>
      this.#cluster.answers(),
    )
    await this.#checks.equal(
      'the processes are user 1000, without capabilities, and cannot write to their root',
      ['1000 0000000000000000 1 ro', '1000 0000000000000000 1 ro'],
      () => this.#cluster.replicas().map(pod => pod.confinement()),
    )
  }

  async #upgrade(secrets: string[]): Promise<void> {
    console.log(`\nupgrade and rollback, with ${this.#perSecond} exchanges a second`)
    const load = startLoad(await this.#cluster.tokenUrl(), this.#perSecond, secrets)
    this.#onEnd(() => load.end())
    await sleep(3_000)
    const before = this.#cluster.replicas().map(({ object }) => object.metadata.uid)
    const next = { ...INSTALLED, image: { ...INSTALLED.image, tag: 'second' } }
    await this.#checks.equal('helm upgrade', 'ok', async () =>
      reported(await this.#cluster.helm(['upgrade', 'mintmark', CHART, '--wait', '--timeout=180s'], next)),
    )
    // helm waits for the new ones; an old one that drains still exists.
    const replaced = async () => {
      const now = this.#cluster.replicas().filter(pod => pod.isReady)
      return [now.length, now.filter(({ object }) => before.includes(object.metadata.uid)).length]
    }
    await this.#checks.equal('it replaced both replicas', [2, 0], () =>
      until('the old ones are gone', replaced, ([all, old]) => all === 2 && old === 0, WAIT_MS).catch(
        replaced,
      ),
    )
    await this.#checks.equal('the JWKS that sync wrote is still there', true, async () =>
      Boolean(await this.#cluster.jwks()),
    )
    await this.#checks.equal('helm rollback', 'ok', async () =>
      reported(await this.#cluster.helm(['rollback', 'mintmark', '--wait', '--timeout=180s'])),
    )
    await sleep(2_000)
    const exchanged = await load.stop()
    note(exchanged)
    await this.#checks.equal('exchanges that failed', 0, () => failures(exchanged))
    await this.#checks.equal(
      'at the rate, for ten seconds and more',
      true,
      () => (exchanged.outcomes['200'] ?? 0) > this.#perSecond * 10,
    )
    await this.#halfKilled(secrets)
  }

  async #halfKilled(secrets: string[]): Promise<void> {
    await until(
      'two replicas',
      async () => this.#cluster.proxy.endpoints(NAMESPACE, 'mintmark'),
      count => count === 2,
      WAIT_MS,
    )
    const load = startLoad(await this.#cluster.tokenUrl(), this.#perSecond, secrets)
    this.#onEnd(() => load.end())
    await sleep(3_000)
    const [half] = this.#cluster.replicas().filter(pod => pod.isReady)
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
        async () => this.#cluster.proxy.endpoints(NAMESPACE, 'mintmark'),
        count => count === 2,
        WAIT_MS,
      ),
    )
  }

  async #failedMigration(secrets: string[]): Promise<void> {
    console.log('\na migration that fails')
    const before = this.#cluster.replicas().map(({ object }) => object.metadata.uid)
    const nowhere = 'postgres://postgres@10.77.0.1:9/mintmark'
    await this.#cluster.secret(NAMESPACE, 'database-away', {
      'database-url': nowhere,
      'direct-url': nowhere,
      'migrate-database-url': nowhere,
    })
    const database = { ...INSTALLED.database, existingSecret: 'database-away' }
    const values = { ...INSTALLED, database, migration: { timeoutSeconds: 15 } }
    const upgrade = (given: object) =>
      this.#cluster.helm(['upgrade', 'mintmark', CHART, '--wait', '--timeout=180s'], given)
    await this.#checks.equal('helm upgrade fails', false, async () => (await upgrade(values)).ok)
    await this.#checks.equal('the replicas are those of before', before, () =>
      this.#cluster.replicas().map(({ object }) => object.metadata.uid),
    )
    await this.#checks.equal('they exchange keys', 200, () => this.#cluster.exchange(secrets))
    await this.#checks.equal('helm upgrade with the right Secret', 'ok', async () =>
      reported(await upgrade(INSTALLED)),
    )
  }

  async #uninstall(secrets: string[]): Promise<void> {
    console.log('\nuninstall, and install again')
    await this.#checks.equal('helm uninstall', 'ok', async () =>
      reported(await this.#cluster.helm(['uninstall', 'mintmark', '--wait', '--timeout=120s'])),
    )
    await this.#checks.equal('what is left of it', ['persistentvolumeclaim/mintmark-snapshots'], async () => {
      const kinds =
        'all,configmap,ingress,networkpolicy,poddisruptionbudget,pvc,role,rolebinding,lease,servicemonitor'
      const selector = 'app.kubernetes.io/instance=mintmark'
      const pods = () => this.#cluster.replicas().length
      await until(
        'the pods are gone',
        async () => pods(),
        count => count === 0,
        WAIT_MS,
      )
      const found = await this.#cluster.kubectl([
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
      reported(
        await this.#cluster.helm(['install', 'mintmark', CHART, '--wait', '--timeout=180s'], INSTALLED),
      ),
    )
    await this.#checks.equal('keys of before are exchanged', 200, () => this.#cluster.exchange(secrets))
  }

  async #generated(): Promise<void> {
    console.log('\nsecrets that the chart generates')
    const { image, issuer, database } = PRODUCTION
    const values = { image, issuer, database, secrets: { generate: true } }
    const secret = async () => {
      const found = await this.#cluster.plane.api.get(`/api/v1/namespaces/${TRIAL}/secrets/other-mintmark`)
      return found.data as Record<string, string>
    }
    const run =
      (...command: string[]) =>
      async () => {
        const given = ['install', 'upgrade'].includes(command[0] ?? '') ? values : undefined
        return reported(await this.#cluster.helm([...command, '--wait', '--timeout=180s'], given, TRIAL))
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
}

const reported = ({ ok, output }: Ran): string => (ok ? 'ok' : output)

const verdict = ({ ok, output }: Ran): string =>
  ok && !/^warning/im.test(output) ? 'accepted, without a warning' : output

const note = ({ outcomes, mostUnderWay }: Exchanged) =>
  console.log(`  note    exchanges by status: ${JSON.stringify(outcomes)}; at most ${mostUnderWay} under way`)

const since = (began: number) => ((performance.now() - began) / 1_000).toFixed(1)
