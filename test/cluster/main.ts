import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { runSuite } from '../engine/suite-run.ts'
import { missingPrograms } from './programs.ts'
import { Suite } from './suite.ts'

/**
 * cluster/ installs the chart in a real Kubernetes control plane: API server, etcd, controllers and scheduler, in a network namespace
 * on this machine. There are no images and no kubelet: the suite runs what the pods would run as processes, with their arguments,
 * environment, files, user, read-only root, probes and addresses of their own.
 *
 *   bash scripts/install-cluster.sh && npm run build && npm run cluster
 *
 * `-- --only workloads` ends after the tokens of service accounts. Needs Linux and root. Ends with "N passed, N failed".
 */
const INSIDE = '--in-a-namespace'
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
if (!process.argv.includes(INSIDE)) {
  // All processes end with the namespace.
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const again = [...process.execArgv, ...process.argv.slice(1), INSIDE]
  const { status } = spawnSync('unshare', [...namespaces, process.execPath, ...again], { stdio: 'inherit' })
  process.exit(status ?? 1)
}

await runSuite((checks, onEnd) =>
  new Suite(checks, onEnd).run(process.argv.includes('workloads') ? 'workloads' : undefined),
)
