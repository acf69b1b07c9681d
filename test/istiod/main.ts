import { Checks } from '../engine/checks.ts'
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

const checks = new Checks()
const ends: (() => unknown)[] = []
const close = async () => {
  for (const end of ends.splice(0).reverse()) await end()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void close().then(() => process.exit(1)))
const began = performance.now()
try {
  await new Suite(checks, end => ends.push(end)).run()
} catch (error) {
  await checks.equal('the suite ran to its end', undefined, () => {
    throw error
  })
} finally {
  await close()
}
console.log(`\n${((performance.now() - began) / 1_000).toFixed(0)} s`)
checks.end()
