import { Checks } from '../engine/checks.ts'
import { Environment } from '../faults/environment/environment.ts'
import { missingApiServer, missingPrograms } from './programs.ts'
import { Suite } from './suite.ts'

/**
 * istiod/ runs a real istiod and Envoy, and where it is installed a real kube-apiserver, with the files of deploy/istio, and shows what docs/guides/istio.md says
 * of outages: with a jwksUri that istiod fetches, and with `mintmark sync`, the default.
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

const small = missingApiServer()
if (small) console.log(`without a real API server, so without field managers and rights: ${small}`)

const checks = new Checks()
const environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
const began = performance.now()
try {
  const suite = await Suite.start(environment, checks, small === undefined)
  await suite.fetchedByIstiod()
  await suite.inline()
  await suite.whileItRuns()
} catch (error) {
  await checks.equal('the suite ran to its end', undefined, () => {
    throw error
  })
} finally {
  await environment.close()
}
console.log(`\n${((performance.now() - began) / 1_000).toFixed(0)} s`)
checks.end()
