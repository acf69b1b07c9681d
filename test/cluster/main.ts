import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runSuite } from '../engine/suite-run.ts'
import { CpuShare } from './cpu-share.ts'
import { missingPrograms } from './programs.ts'
import { EXCHANGES_PER_SECOND, PARTS, Suite } from './suite.ts'

/**
 * cluster/ installs the chart in a real Kubernetes control plane: API server, etcd, controllers and scheduler, in a network namespace
 * on this machine. There are no images and no kubelet: the suite runs what the pods would run as processes, with their arguments,
 * environment, files, user, read-only root, probes and addresses of their own.
 *
 *   bash scripts/install-cluster.sh && bash scripts/install-istiod.sh && npm run build && npm run cluster
 *   npm run cluster -- modes workloads   these parts alone:
 *     modes         every mode of the chart: lint, kubeconform, strict server-side apply
 *     combinations  a real installation of every mode, helm test, and its uninstallation
 *     workloads     tokens of service accounts
 *     gateway       an Envoy of istiod in front of an installation: sync killed, without rights, gone; Mintmark gone
 *     conflicts     Argo CD, Flux, kubectl and Helm apply the fields that sync has: reported, no fight, the guide's cure
 *     upgrade       upgrade, roll back, half of the replicas killed, under load
 *     releases      a migration that fails, uninstall, generated secrets
 *     guide         docs/guides/kubernetes.md from an empty cluster to a call, timed
 *     contract-selector, contract-target-refs   (or both: contract) the contract of test/gateway-configs at istiod's Envoys, from what
 *                   the chart makes, attached to a Gateway of Istio or of Gateway API
 *
 * `--shard 1/3`: a third of the modes and of the combinations. `--rate 50` exchanges a second, not 300. `--cpus 0.5`: during upgrade
 * everything gets half a processor. `--check`: only whether the suite can run. Needs Linux and root. Ends with "N passed, N failed".
 */
const { values, positionals } = parseArgs({
  options: {
    ...{ rate: { type: 'string' }, cpus: { type: 'string' }, check: { type: 'boolean' } },
    shard: { type: 'string', default: '1/1' },
    'cpu-group': { type: 'string' },
    'in-a-namespace': { type: 'boolean' },
  },
  allowPositionals: true,
})
const perSecond = Number(values.rate ?? EXCHANGES_PER_SECOND)
const cpus = Number(values.cpus ?? 1)
const [, shard = 0, shards = 0] = /^(\d+)\/(\d+)$/.exec(values.shard)?.map(Number) ?? []
const isNamed = (part: string, name: string) => part === name || part.startsWith(`${name}-`)
const unknown = positionals.filter(name => !PARTS.some(part => isNamed(part, name)))
const fault =
  unknown.length > 0
    ? `unknown part: ${unknown.join(' ')}. There are ${PARTS.join(', ')}; none: modes, workloads, gateway, conflicts, upgrade and releases.`
    : !(perSecond >= 1)
      ? '--rate is not a number of exchanges a second, 1 or more'
      : !(cpus >= 0.05)
        ? '--cpus is not a number of processors, 0.05 or more'
        : shard >= 1 && shard <= shards
          ? undefined
          : '--shard is not a part of a whole, as in 1/3'
if (fault) {
  console.error(fault)
  process.exit(2)
}
const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
const reason = values['in-a-namespace'] ? undefined : whyNot()
if (values.check) {
  if (reason) console.error(reason)
  process.exit(reason ? 1 : 0)
}
if (reason) {
  console.log(`skipped: ${reason}\n0 passed, 0 failed`)
  process.exit(0)
}
if (!values['in-a-namespace']) {
  const share = values.cpus === undefined ? undefined : new CpuShare()
  share?.enter()
  // All processes end with the namespace.
  const again = [...process.execArgv, ...process.argv.slice(1), '--in-a-namespace']
  if (share) again.push(`--cpu-group=${share.folder}`)
  const { status } = spawnSync('unshare', [...namespaces, process.execPath, ...again], { stdio: 'inherit' })
  share?.leave()
  process.exit(status ?? 1)
}

const group = values['cpu-group']
const parts = PARTS.filter(part => positionals.some(name => isNamed(part, name)))
await runSuite((checks, onEnd) =>
  new Suite(checks, onEnd, {
    perSecond,
    share: group ? new CpuShare(group) : undefined,
    cpus,
    shard: [shard, shards],
  }).run(parts),
)

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root, for namespaces'
  if (spawnSync('unshare', [...namespaces, 'true']).status !== 0) return 'this machine allows no namespaces'
  if (!existsSync(new URL('../../dist/cli/main.js', import.meta.url)))
    return 'dist is not built: run npm run build'
  return missingPrograms()
}
