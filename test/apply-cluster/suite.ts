import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KubernetesObject } from '../cluster/cluster-api.ts'
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts'
import { HOST, makeNetwork } from '../cluster/network.ts'
import type { Checks } from '../engine/checks.ts'
import { Postgres } from '../faults/environment/postgres.ts'
import { ENVIRONMENT, type Replica, replicaAt, startReplicaProcess } from '../faults/environment/replica.ts'
import { type Outcome, runMintmark } from '../istiod/sync-process.ts'
import { changedMeanwhile } from './changed-meanwhile.ts'
import { ReadingClients } from './reading-clients.ts'

/** The namespaces that the Role is granted in; `elsewhere` has none. */
const NAMESPACES = ['acme-prod', 'gateways', 'elsewhere']
/** As docs/guides/apply.md has it. */
const RULES = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'create', 'patch'] }]
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const ROTATIONS = 5
const KILLS = 8

/** The set; `namespace`: of the key's Secret. */
const textOf = ({ namespace = 'acme-prod', overlap = '6s' } = {}) => `resource: set
name: production
allowed_namespaces:
  acme: [acme-prod, elsewhere]
usage_reporter_namespaces: [gateways]
---
resource: tenant
id: acme
---
resource: key
tenant: acme
name: ci
write_secret:
  kubernetes: {namespace: ${namespace}, name: mintmark-ci}
  overlap: ${overlap}
---
resource: usage-reporter
name: envoy
audiences: [vllm]
write_secret:
  kubernetes: {namespace: gateways, name: mintmark-usage}
`

/** An API server and Mintmark, and what `apply` does with both. */
export class Suite {
  readonly #checks: Checks
  readonly #onEnd: (end: () => unknown) => void
  readonly #folder = mkdtempSync(join(tmpdir(), 'mintmark-apply-cluster-'))
  #plane!: ControlPlane
  #mintmark!: Replica
  #kubeconfig = ''
  readonly #printed: string[] = []

  constructor(checks: Checks, onEnd: (end: () => unknown) => void) {
    this.#checks = checks
    this.#onEnd = onEnd
    onEnd(() => rmSync(this.#folder, { recursive: true, force: true }))
  }

  async run(): Promise<void> {
    makeNetwork()
    this.#plane = await startControlPlane(this.#folder, this.#onEnd)
    const postgres = await Postgres.create()
    this.#onEnd(() => postgres.remove())
    const process = startReplicaProcess(postgres.applicationUrl())
    this.#onEnd(() => process.kill())
    this.#mintmark = replicaAt(process, await process.ready(120_000))
    await this.#grant()
    await this.#written()
    await this.#foreign()
    await this.#rights()
    await this.#healed()
    await this.#underLoad()
    await this.#killed()
    await this.#fromPod()
    await this.#silent()
  }

  /** Namespaces, and an account with the Role of the guide in two of them. */
  async #grant(): Promise<void> {
    const kubectl = async (...args: string[]) => {
      const ran = await this.#plane.kubectl(args)
      if (!ran.ok) throw new Error(ran.output)
      return ran.stdout.trim()
    }
    for (const name of NAMESPACES) await kubectl('create', 'namespace', name)
    await kubectl('create', 'serviceaccount', 'mintmark-apply', '--namespace', 'acme-prod')
    for (const namespace of ['acme-prod', 'gateways']) {
      const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`
      const metadata = { name: 'mintmark-apply', namespace }
      await this.#plane.api.post(`${rbac}/roles`, { metadata, rules: RULES })
      await this.#plane.api.post(`${rbac}/rolebindings`, {
        metadata,
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'mintmark-apply' },
        subjects: [{ kind: 'ServiceAccount', name: 'mintmark-apply', namespace: 'acme-prod' }],
      })
    }
    const token = await kubectl('create', 'token', 'mintmark-apply', '--namespace', 'acme-prod')
    this.#kubeconfig = join(this.#folder, 'apply-kubeconfig')
    writeFileSync(
      this.#kubeconfig,
      JSON.stringify({
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        clusters: [
          { name: 'c', cluster: { server: `https://${HOST}:6443`, 'certificate-authority': 'ca.crt' } },
        ],
        users: [{ name: 'u', user: { token } }],
      }),
    )
    this.#inPod(token)
  }

  /** What the kubelet mounts into a pod; /run is of this mount namespace only. */
  #inPod(token: string): void {
    mkdirSync('/run/secrets', { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run/secrets'])
    mkdirSync(ACCOUNT, { recursive: true })
    execFileSync('cp', [join(this.#folder, 'ca.crt'), join(ACCOUNT, 'ca.crt')])
    writeFileSync(join(ACCOUNT, 'token'), token)
    writeFileSync(join(ACCOUNT, 'namespace'), 'acme-prod')
  }

  async #apply(text: string, more: string[] = [], killAfterMs?: number): Promise<Outcome> {
    const file = join(this.#folder, 'set.yaml')
    writeFileSync(file, text)
    const args = ['apply', '-f', file, '--write-secret', '--kubeconfig', this.#kubeconfig, ...more]
    return this.#command(args, {}, killAfterMs)
  }

  async #command(args: string[], env: Record<string, string> = {}, killAfterMs?: number): Promise<Outcome> {
    const ours = {
      MINTMARK_URL: this.#mintmark.urls.admin,
      MINTMARK_ADMIN_TOKEN: ENVIRONMENT.MINTMARK_ROOT_TOKEN,
    }
    const outcome = await runMintmark(args, { ...ours, ...env }, killAfterMs)
    this.#printed.push(outcome.stdout, outcome.stderr)
    return outcome
  }

  #secret = (name = 'mintmark-ci', namespace = 'acme-prod'): Promise<KubernetesObject> =>
    this.#plane.api.get(`/api/v1/namespaces/${namespace}/secrets/${name}`)
  #stored = async (): Promise<string> => textIn(await this.#secret())
  #key = async (): Promise<KubernetesObject> =>
    (await this.#mintmark.admin('GET', '/tenants/acme/keys')).body.data[0]
  /** Secrets of the key that are accepted. */
  #usable = async (): Promise<KubernetesObject[]> =>
    (await this.#key()).secrets.filter(({ state }: KubernetesObject) => ['live', 'ending'].includes(state))

  async #written(): Promise<void> {
    console.log('\nwritten with the Role of the guide')
    await this.#checks.equal('the first run', 0, async () => said(await this.#apply(textOf())))
    await this.#checks.equal(
      'a Secret of the type Opaque, with its owner',
      ['Opaque', { 'mintmark/set': 'production', 'mintmark/key': 'acme/ci' }, ['api-key']],
      async () => {
        const { type, metadata, data } = await this.#secret()
        return [type, metadata.annotations, Object.keys(data)]
      },
    )
    await this.#checks.equal('the key in it is exchanged', 200, async () =>
      this.#mintmark.exchange(await this.#stored()).then(({ status }) => status),
    )
    await this.#checks.equal(
      'the Secret of the usage reporter',
      [true, { 'mintmark/set': 'production', 'mintmark/usage-reporter': 'envoy' }],
      async () => {
        const secret = await this.#secret('mintmark-usage', 'gateways')
        return [textIn(secret).startsWith('mmr_'), secret.metadata.annotations]
      },
    )
    await this.#checks.equal(
      'a second run changes neither Mintmark nor the cluster',
      [0, true, true],
      async () => {
        const before = (await this.#secret()).metadata.resourceVersion
        const { code, stdout } = await this.#apply(textOf())
        return [
          code,
          stdout.includes('Nothing to change'),
          (await this.#secret()).metadata.resourceVersion === before,
        ]
      },
    )
  }

  async #foreign(): Promise<void> {
    console.log('\nnever over a Secret that is not ours')
    const secret = '/api/v1/namespaces/acme-prod/secrets'
    const stringData = { 'api-key': 'of-someone-else' }
    await this.#plane.api.post(secret, { metadata: { name: 'theirs' }, stringData })
    const text = textOf().replace('name: mintmark-ci', 'name: theirs')
    await this.#checks.equal(
      'made by someone else: refused by name, and unchanged',
      [5, true, 'of-someone-else'],
      async () => {
        const { code, stderr } = await this.#apply(text)
        const named = stderr.includes('the Secret acme-prod/theirs was not written by "mintmark apply"')
        return [code, named, textIn(await this.#secret('theirs'))]
      },
    )
    await this.#checks.equal(
      'created or changed between the plan and its step: not overwritten; deleted: written again',
      {
        created: 'refused, of-someone-else',
        changed: 'refused, of-someone-else',
        deleted: 'written, ours again',
      },
      () => changedMeanwhile(this.#plane, this.#kubeconfig),
    )
  }

  async #rights(): Promise<void> {
    console.log('\nonly in the namespaces of the tenant')
    await this.#checks.equal('a namespace that the set does not allow', [2, true], async () => {
      const { code, stderr } = await this.#apply(textOf({ namespace: 'kube-system' }))
      return [code, stderr.includes('does not allow the tenant acme the namespace kube-system')]
    })
    await this.#checks.equal('one that the set allows, and the Role does not', [3, true, 1], async () => {
      const { code, stderr } = await this.#apply(textOf({ namespace: 'elsewhere' }))
      return [code, stderr.includes('docs/guides/apply.md'), (await this.#usable()).length]
    })
  }

  async #healed(): Promise<void> {
    console.log('\nwhat others do to the Secret is mended')
    const path = '/api/v1/namespaces/acme-prod/secrets/mintmark-ci'
    await this.#checks.equal('changed by hand', [0, 200], async () => {
      await this.#plane.api.patch(path, { stringData: { 'api-key': 'changed-by-hand' } })
      const code = said(await this.#apply(textOf({ overlap: '1s' })))
      return [code, (await this.#mintmark.exchange(await this.#stored())).status]
    })
    await sleep(1_500)
    await this.#checks.equal('deleted', [0, 200], async () => {
      await this.#plane.api.remove(path)
      const code = said(await this.#apply(textOf({ overlap: '1s' })))
      return [code, (await this.#mintmark.exchange(await this.#stored())).status]
    })
    await this.#checks.equal(
      'that of the usage reporter deleted: the reporter gets another one',
      [0, 1, true],
      async () => {
        await this.#plane.api.remove('/api/v1/namespaces/gateways/secrets/mintmark-usage')
        const code = said(await this.#apply(textOf()))
        const { data } = (await this.#mintmark.admin('GET', '/usage-reporters')).body
        const live = data.filter(({ state }: KubernetesObject) => state === 'active')
        const text = textIn(await this.#secret('mintmark-usage', 'gateways'))
        return [code, live.length, text.startsWith(`mmr_${live[0]?.id.slice(4)}_`)]
      },
    )
    await sleep(1_500)
  }

  async #underLoad(): Promise<void> {
    console.log('\nrotated under load: clients that read the Secret every 2 s')
    const overlap = 6
    const clients = new ReadingClients(this.#mintmark, this.#stored, { everyMs: 2_000, perSecond: 50 })
    await clients.start()
    await this.#checks.equal(
      `${ROTATIONS} rotations, each with an overlap of ${overlap} s`,
      Array(ROTATIONS).fill(0),
      async () => {
        const codes: unknown[] = []
        for (let round = 0; round < ROTATIONS; round++) {
          codes.push(said(await this.#apply(textOf({ overlap: `${overlap}s` }), ['--rotate', 'acme/ci'])))
          await sleep((overlap + 1) * 1_000)
        }
        return codes
      },
    )
    const { sent, failed, secrets } = await clients.stop()
    console.log(`  note    ${sent} requests with ${secrets} secrets`)
    await this.#checks.equal('no request failed', [{}, true], () => [failed, secrets > ROTATIONS])

    // The measurement can fail: an overlap shorter than clients take to read the Secret again.
    const late = new ReadingClients(this.#mintmark, this.#stored, { everyMs: 4_000, perSecond: 50 })
    await late.start()
    await this.#apply(textOf({ overlap: '1s' }), ['--rotate', 'acme/ci'])
    await sleep(5_000)
    await this.#checks.equal(
      'with an overlap of 1 s, and clients that read every 4 s, some do',
      ['401'],
      async () => Object.keys((await late.stop()).failed),
    )
  }

  async #killed(): Promise<void> {
    console.log('\nkilled at any moment of a rotation, under load')
    const clients = new ReadingClients(this.#mintmark, this.#stored, { everyMs: 1_000, perSecond: 50 })
    await clients.start()
    const began = performance.now()
    await this.#apply(textOf({ overlap: '3s' }), ['--rotate', 'acme/ci'])
    const whole = performance.now() - began
    await sleep(4_000)
    let killed = 0
    for (let round = 1; round <= KILLS; round++) {
      // The second half: before it the command reads its files and makes the plan.
      const killAfterMs = Math.round(whole * (0.5 + round / (2 * KILLS)))
      const { code } = await this.#apply(textOf({ overlap: '3s' }), ['--rotate', 'acme/ci'], killAfterMs)
      if (code === null) killed++
      await this.#checks.equal(
        `repeated after ${code === null ? 'a kill' : 'its end'} (${killAfterMs} ms)`,
        [0, true],
        async () => {
          const again = said(await this.#apply(textOf({ overlap: '3s' })))
          await sleep(4_000)
          const usable = await this.#usable()
          return [again, usable.length === 1 && usable[0].confirm_by === null]
        },
      )
    }
    const { sent, failed } = await clients.stop()
    console.log(`  note    ${killed} of ${KILLS} were killed; ${sent} requests`)
    await this.#checks.equal('no request failed', [{}, true], () => [failed, killed > 0])
  }

  async #fromPod(): Promise<void> {
    console.log('\nin a pod, with its service account')
    await this.#checks.equal('nothing to change, and a rotation', [0, 0, 200], async () => {
      const env = { KUBERNETES_SERVICE_HOST: HOST, KUBERNETES_SERVICE_PORT: '6443' }
      const args = ['apply', '-f', join(this.#folder, 'set.yaml'), '--write-secret']
      const same = said(await this.#command(args, env))
      const rotated = said(await this.#command([...args, '--rotate', 'acme/ci'], env))
      return [same, rotated, (await this.#mintmark.exchange(await this.#stored())).status]
    })
  }

  async #silent(): Promise<void> {
    await this.#checks.equal('no secret is in any output or log', false, () =>
      /mm[kr]_\w{16}_/.test([...this.#printed, this.#mintmark.process.output()].join('\n')),
    )
  }
}

const textIn = ({ data }: KubernetesObject): string => Buffer.from(data['api-key'], 'base64').toString()

/** The exit code, or what went wrong. */
const said = ({ code, stderr }: Outcome): unknown => (code === 0 ? 0 : `${code}: ${stderr}`)
