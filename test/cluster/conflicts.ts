import { readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'yaml'
import { runMintmark } from '../istiod/sync-process.ts'
import { until } from '../support/until.ts'
import { type Cluster, NAMESPACE, WAIT_MS } from './cluster.ts'
import type { KubernetesObject } from './cluster-api.ts'
import { INSTALLED } from './modes.ts'
import type { Pod } from './pod.ts'
import { CHART, note, reported, type Setting, since, WAITING } from './setting.ts'
import { changeJwks, hasPublishedKeys, leads, metric, SYNC } from './sync-pods.ts'

const GUIDE = readFileSync(new URL('../../docs/guides/istio.md', import.meta.url), 'utf8')
const OBJECTS = '/apis/security.istio.io/v1/namespaces/istio-system/requestauthentications'
/** Rounds of sync while another tool owns its fields: a minute, with the suite's interval. */
const ROUNDS = 12

/** How tools apply: Argo CD as kubectl does, unless ServerSideApply is set; Flux always server-side. Both take over what others own. */
const TOOLS: [tool: string, how: string, args: string[]][] = [
  ['Argo CD', 'server-side', ['--server-side', '--force-conflicts', '--field-manager=argocd-controller']],
  ['Argo CD', 'client-side', ['--field-manager=argocd-controller']],
  ['Flux', 'server-side', ['--server-side', '--force-conflicts', '--field-manager=kustomize-controller']],
  ['kubectl', 'client-side', []],
]

/** Other tools that apply the fields that sync has: sync reports them and does not write again and again, and the cure of the guide holds. */
export async function checkConflicts(setting: Setting): Promise<void> {
  const { cluster } = setting
  const versions: KubernetesObject[] = []
  void cluster.plane.api.watch(OBJECTS, (_, object) => versions.push(object))
  const { data } = await cluster.plane.api.get(`/api/v1/namespaces/${NAMESPACE}/configmaps/${SYNC}`)
  const rules = parse(data['request-authentication.yaml'])
  const selector = { matchLabels: { istio: 'ingressgateway' } }
  const whole = { ...rules, spec: { selector, ...rules.spec } }
  const bare = { ...rules, spec: { selector } }
  for (const [index, [tool, how, args]] of TOOLS.entries()) {
    console.log(`\n${tool}, which applies the RequestAuthentication ${how}`)
    const apply = async (object: object) => {
      const ran = await cluster.plane.kubectl(['apply', ...args, '--filename', '-'], JSON.stringify(object))
      if (!ran.ok) throw new Error(ran.output)
    }
    await conflictReported(setting, tool, () => apply(whole), index === 0 ? ROUNDS : 2)
    versions.length = 0
    await cured(setting, () => apply(bare))
    await setting.checks.equal('it had keys in each of its versions', [], () =>
      versions.filter(({ spec }) => !spec.jwtRules),
    )
    if (index < 2) await removedFirst(setting, versions, [() => apply(whole), () => apply(bare)])
  }
  await sharedOwner(setting)
  await helmOwns(setting)
}

async function conflictReported(
  { checks, cluster }: Setting,
  tool: string,
  applyAgain: () => Promise<void>,
  rounds: number,
) {
  const from = await conflicts(cluster)
  await applyAgain()
  const counted = (count: number) =>
    until(
      'conflicts',
      () => conflicts(cluster),
      found => found >= from + count,
      WAIT_MS,
    )
  await checks.equal('sync counts a conflict', true, async () => (await counted(1)) > from)
  const isNamed = (text: string) => text.includes(`another field manager, ${tool}: .spec.jwtRules`)
  const pod = await leader(cluster)
  await checks.equal('its /readyz is 503, and names the tool and the field', [503, true], async () => {
    const answer = await fetch(`http://${pod.address}:8085/readyz`)
    return [answer.status, isNamed(await answer.text())]
  })
  await checks.equal('so does its log', true, () =>
    until('it is in the log', () => isNamed(pod.log), Boolean, WAIT_MS),
  )
  await checks.equal('doctor says that sync has lost the object', true, () => doctorTells(cluster))
  const before = await version(cluster)
  const began = performance.now()
  await checks.equal(
    `in ${rounds} more rounds, with the tool applying in each, nothing is written`,
    before,
    async () => {
      for (let round = 1; round <= rounds; round++) {
        await applyAgain()
        await counted(1 + round)
      }
      return version(cluster)
    },
  )
  note(`${since(began)} s`)
}

/** As the guide says: the tool is paused; sync takes the fields over; they are removed from what the tool applies; it continues. */
async function cured({ checks, cluster }: Setting, applyBare: () => Promise<void>): Promise<void> {
  await checks.equal('the command of the guide takes the fields over', true, async () =>
    (await takeOver(cluster)).includes('RequestAuthentication istio-system/mintmark written'),
  )
  await checks.equal('only sync owns them', [SYNC], () => owners(cluster))
  for (let time = 1; time <= 3; time++) await applyBare()
  await checks.equal('the tool applies the object without them, three times: they stay', true, () =>
    hasPublishedKeys(cluster),
  )
  await checks.equal('sync is ready again', 200, () =>
    until(
      'it is ready',
      async () => (await fetch(`http://${(await leader(cluster)).address}:8085/readyz`)).status,
      status => status === 200,
      WAIT_MS,
    ),
  )
  await changed({ checks, cluster })
}

async function changed({ checks, cluster }: Pick<Setting, 'checks' | 'cluster'>): Promise<void> {
  await changeJwks(cluster)
  await checks.equal('the JWKS changes: sync writes it', true, () =>
    until('it is written', () => hasPublishedKeys(cluster), Boolean, WAIT_MS),
  )
}

/** The other order, which the guide warns of. */
async function removedFirst(
  { checks, cluster }: Setting,
  versions: KubernetesObject[],
  steps: (() => Promise<void>)[],
) {
  versions.length = 0
  for (const step of steps) await step()
  await checks.equal(
    'removed before they are taken over: the tool deletes them, until sync writes them again',
    true,
    async () => {
      await until('it is written', () => hasPublishedKeys(cluster), Boolean, WAIT_MS)
      return until(
        'a version without them',
        () => versions.some(({ spec }) => !spec.jwtRules),
        Boolean,
        WAIT_MS,
      )
    },
  )
}

/** `ignoreDifferences` with server-side apply: Argo CD applies what it found, and owns it too. */
async function sharedOwner({ checks, cluster }: Setting): Promise<void> {
  console.log('\nArgo CD, which applies the value that it found (ignoreDifferences)')
  const { apiVersion, kind, metadata, spec } = await cluster.plane.api.get(`${OBJECTS}/mintmark`)
  const { name, namespace } = metadata
  const args = [
    'apply',
    '--server-side',
    '--force-conflicts',
    '--field-manager=argocd-controller',
    '--filename',
    '-',
  ]
  const applied = await cluster.plane.kubectl(
    args,
    JSON.stringify({ apiVersion, kind, metadata: { name, namespace }, spec }),
  )
  await checks.equal('both own the field', ['argocd-controller', SYNC], async () =>
    applied.ok ? owners(cluster) : applied.output,
  )
  const from = await conflicts(cluster)
  await changeJwks(cluster)
  await checks.equal('the next change of the JWKS is a conflict, which sync counts', true, () =>
    until(
      'a conflict',
      () => conflicts(cluster),
      found => found > from,
      WAIT_MS,
    ).then(Boolean),
  )
  await takeOver(cluster)
  await checks.equal('the command of the guide takes the field over', [SYNC], () => owners(cluster))
}

/** Helm 4 applies server-side, and takes nothing over without --force-conflicts. */
async function helmOwns({ checks, cluster }: Setting): Promise<void> {
  console.log('\nthe chart, with sync switched off and on again')
  const off = { ...INSTALLED, istio: { ...INSTALLED.istio, sync: { enabled: false } } }
  const upgrade = (values: object, ...more: string[]) =>
    cluster.helm(['upgrade', 'mintmark', CHART, ...WAITING, ...more], values)
  await checks.equal(
    'off: helm names sync as the owner, and changes nothing of the object',
    [false, true, [SYNC]],
    async () => {
      const { ok, output } = await upgrade(off)
      return [ok, output.includes(`conflict with "${SYNC}"`), await owners(cluster)]
    },
  )
  await checks.equal('off, with --force-conflicts: Helm owns them', ['ok', ['helm']], async () => [
    reported(await upgrade(off, '--force-conflicts')),
    await owners(cluster),
  ])
  const began = performance.now()
  let withoutKeys = 0
  void cluster.plane.api.watch(OBJECTS, (_, { spec }) => {
    if (!spec.jwtRules) withoutKeys = performance.now()
    else if (withoutKeys > 0) {
      note(`the object had no keys for ${since(withoutKeys)} s`)
      withoutKeys = 0
    }
  })
  await checks.equal('on again: sync writes the JWKS', ['ok', true], async () => [
    reported(await upgrade(INSTALLED)),
    await until('it is written', () => hasPublishedKeys(cluster), Boolean, WAIT_MS),
  ])
  note(`after ${since(began)} s`)
}

const leader = (cluster: Cluster): Promise<Pod> =>
  until(
    'a sync with the lease',
    async () => {
      for (const pod of cluster.pods(SYNC)) if ((await leads(pod)) === 1) return pod
      return undefined
    },
    Boolean,
    WAIT_MS,
  ) as Promise<Pod>

async function conflicts(cluster: Cluster): Promise<number> {
  const all = cluster.pods(SYNC).map(pod => metric(pod, 'mintmark_sync_failures_total{reason="conflict"}'))
  return (await Promise.all(all)).reduce((sum, each) => sum + each, 0)
}

const version = async (cluster: Cluster): Promise<string> =>
  (await cluster.plane.api.get(`${OBJECTS}/mintmark`)).metadata.resourceVersion

/** The field managers of the rules. */
async function owners(cluster: Cluster): Promise<string[]> {
  const { metadata } = await cluster.plane.api.get(`${OBJECTS}/mintmark`)
  return metadata.managedFields
    .filter(({ fieldsV1 }: KubernetesObject) => fieldsV1['f:spec']?.['f:jwtRules'])
    .map(({ manager }: KubernetesObject) => manager)
    .toSorted()
}

/** What `doctor --istio` says of the object as `kubectl get --show-managed-fields` writes it. */
async function doctorTells(cluster: Cluster): Promise<boolean> {
  const object = await cluster.plane.api.get(`${OBJECTS}/mintmark`)
  const file = `${cluster.folder}/live.json`
  writeFileSync(file, JSON.stringify(object))
  const issuer = INSTALLED.issuer
  const { stdout, stderr } = await runMintmark(['doctor', '--issuer', issuer, '--istio', file], {})
  return /another tool has replaced the rules that mintmark sync wrote/.test(stdout + stderr)
}

/** The command of the guide, in a pod like those of sync: there is no kubelet here for `kubectl exec`. Returns its log. */
async function takeOver(cluster: Cluster): Promise<string> {
  const [, command = ''] =
    /deploy\/mintmark-sync -- (node dist\/cli\/main\.js sync .*--force-conflicts)/.exec(GUIDE) ?? []
  const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${SYNC}`
  const { spec } = (await cluster.plane.api.get(path)).spec.template
  const [{ readinessProbe: _, livenessProbe: __, args: ___, ...container }] = spec.containers
  const name = `take-over-${++takenOver}`
  await cluster.plane.api.post(`/api/v1/namespaces/${NAMESPACE}/pods`, {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { 'app.kubernetes.io/name': name } } },
    spec: { ...spec, restartPolicy: 'Never', containers: [{ ...container, command: command.split(' ') }] },
  })
  const phase = async () =>
    (await cluster.plane.api.get(`/api/v1/namespaces/${NAMESPACE}/pods/${name}`)).status.phase
  await until('it has ended', phase, found => found === 'Succeeded' || found === 'Failed', WAIT_MS)
  return cluster.pods(name)[0]?.log ?? ''
}

let takenOver = 0
