import { runSuite } from '../engine/suite-run.ts'
import { Environment } from '../faults/environment/environment.ts'
import { findEnvoy } from '../gateway-configs/envoy.ts'
import { missingPrograms } from './spire.ts'
import { checkSpire } from './suite.ts'

/**
 * spire/ exchanges JWT-SVIDs of a real SPIRE, as docs/guides/workload-identity.md says, through every grant that takes them, and
 * shows the tokens to a real Envoy, while SPIRE changes its keys.
 *
 *   bash scripts/install-spire.sh && npm run spire
 *
 * Ends with "N passed, N failed".
 */
const reason = missingPrograms() ?? (findEnvoy() ? undefined : 'no Envoy; run scripts/install-gateways.sh')
if (reason) {
  console.log(`skipped: ${reason}\n0 passed, 0 failed`)
  process.exit(0)
}

await runSuite(async (checks, onEnd) => {
  const environment = new Environment({ full: false })
  onEnd(() => environment.close())
  await checkSpire(checks, environment)
})
