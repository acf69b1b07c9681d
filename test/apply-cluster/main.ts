import { spawnSync } from 'node:child_process'
import { missingPrograms } from '../cluster/programs.ts'
import { runSuite } from '../engine/suite-run.ts'
import { Suite } from './suite.ts'

/**
 * apply-cluster/ runs `mintmark apply --write-secret` against a real Kubernetes API server with RBAC, and rotates a Secret while
 * clients use it.
 *
 *   bash scripts/install-cluster.sh && npm run apply-cluster
 *
 * Needs Linux and root. Ends with "N passed, N failed".
 */
const INSIDE = '--in-a-namespace'
const reason = process.getuid?.() === 0 ? missingPrograms() : 'it needs root, for namespaces'
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

await runSuite((checks, onEnd) => new Suite(checks, onEnd).run())
