import { Checks } from './checks.ts'

type Run = (checks: Checks, onEnd: (end: () => unknown) => void) => Promise<void>

/**
 * Runs a suite of real programs. What it starts is ended in reverse order, after an error or a signal too. Prints its time and
 * "N passed, N failed", and exits.
 */
export async function runSuite(run: Run): Promise<never> {
  const checks = new Checks()
  const ends: (() => unknown)[] = []
  const close = async () => {
    for (const end of ends.splice(0).reverse()) await end()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void close().then(() => process.exit(1)))
  const began = performance.now()
  try {
    await run(checks, end => ends.push(end))
  } catch (error) {
    await checks.equal('the suite ran to its end', undefined, () => {
      throw error
    })
  } finally {
    await close()
  }
  console.log(`\n${((performance.now() - began) / 1_000).toFixed(0)} s`)
  return checks.end()
}
