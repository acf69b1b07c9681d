import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runSuite } from '../engine/suite-run.ts'
import { missingPrograms } from './programs.ts'
import { EXCHANGES_PER_SECOND, Suite } from './suite.ts'

/**
 * cluster/ installs the chart in a real Kubernetes control plane: API server, etcd, controllers and scheduler, in a network namespace
 * on this machine. There are no images and no kubelet: the suite runs what the pods would run as processes, with their arguments,
 * environment, files, user, read-only root, probes and addresses of their own.
 *
 *   bash scripts/install-cluster.sh && bash scripts/install-istiod.sh && npm run build && npm run cluster
 *   npm run cluster -- modes       only: every mode of the chart, by strict server-side apply
 *   npm run cluster -- install     only: install, upgrade, roll back, uninstall; a gateway in front; `--rate 50` exchanges a second, not 300
 *   npm run cluster -- workloads   only: an installation, and tokens of service accounts
 *   npm run cluster -- guide       only: docs/guides/kubernetes.md from an empty cluster to a call, timed
 *   npm run cluster -- contract    only: the contract of test/gateway-configs at istiod's Envoys, from what the chart makes
 *
 * Needs Linux and root. Ends with "N passed, N failed".
 */
const PARTS = ['modes', 'contract', 'workloads', 'install', 'guide'] as const
const INSIDE = 'in-a-namespace'
const { values, positionals } = parseArgs({
  options: { rate: { type: 'string' }, [INSIDE]: { type: 'boolean' } },
  allowPositionals: true,
})
const perSecond = Number(values.rate ?? EXCHANGES_PER_SECOND)
const only = PARTS.find(part => part === positionals[0])
const fault =
  positionals.length > (only ? 1 : 0)
    ? `unknown part: ${positionals.join(' ')}. There are ${PARTS.join(', ')}; give one, or none for all but guide.`
    : perSecond >= 1
      ? undefined
      : '--rate is not a number of exchanges a second, 1 or more'
if (fault) {
  console.error(fault)
  process.exit(2)
}
const reason =
  process.getuid?.() !== 0
    ? 'it needs root, for namespaces'
    : existsSync(new URL('../../dist/cli/main.js', import.meta.url))
      ? missingPrograms()
      : 'dist is not built: run npm run build'
if (reason) {
  console.log(`skipped: ${reason}\n0 passed, 0 failed`)
  process.exit(0)
}
if (!values[INSIDE]) {
  // All processes end with the namespace.
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const again = [...process.execArgv, ...process.argv.slice(1), `--${INSIDE}`]
  const { status } = spawnSync('unshare', [...namespaces, process.execPath, ...again], { stdio: 'inherit' })
  process.exit(status ?? 1)
}

await runSuite((checks, onEnd) => new Suite(checks, onEnd, perSecond).run(only))
