import { runSuite } from '../engine/suite-run.ts'
import { missingPrograms } from './programs.ts'
import { Suite } from './suite.ts'

/**
 * istiod/ runs a real istiod and a stock Envoy with the files of deploy/istio, and shows what docs/guides/istio.md says of outages:
 * with a jwksUri that istiod fetches, and with `mintmark sync`, the default. The API server is a small one (small-api-server.ts).
 *
 *   npm run istiod
 *
 * Ends with "N passed, N failed".
 */
const reason = missingPrograms()
if (reason) {
  console.log(`skipped: ${reason}\n0 passed, 0 failed`)
  process.exit(0)
}

await runSuite((checks, onEnd) => new Suite(checks, onEnd).run())
