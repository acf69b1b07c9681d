import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { Environment, now } from '../faults/environment/environment.ts'
import { asLines, hasFailed, WHY } from '../faults/environment/report.ts'
import bundleSource, { bundled } from '../support/bundled-source.ts'
import { childEnvironment } from '../support/child-environment.ts'
import { conductOutage } from './outage.ts'

/**
 * gameday/ takes Postgres away for longer than three staleness windows, and kills and restarts each replica meanwhile:
 *
 *   npm run gameday                      a window of 30 seconds in place of 15 minutes: about three minutes
 *   npm run gameday -- --real            the default window, so about 55 minutes
 *   npm run gameday -- --per-second 50   exchanges in place of 100 (20 with --real)
 *
 * Three replicas on one volume, behind a load balancer. Before the outage API keys, tenants, tokens and an admin token
 * end; in it a signing key is due, and `mintmark emergency extend` is used. Every exchange of a known key has to succeed.
 * Ends with "N passed, N failed". docs/guides/postgres-outage.md
 */
const SCALED_SECONDS = 30
const DEFAULT_SECONDS = 900
const { values: options } = parseArgs({
  options: { real: { type: 'boolean', default: false }, 'per-second': { type: 'string' } },
})
const windowSeconds = options.real ? DEFAULT_SECONDS : SCALED_SECONDS
const perSecond = Number(options['per-second'] ?? (options.real ? 20 : 100))
if (!(perSecond > 0)) throw new Error('--per-second must be a number greater than 0')

await bundleSource()
const environment = new Environment({ full: false })
const { report } = environment
const folder = mkdtempSync(join(tmpdir(), 'mintmark-gameday-'))
environment.onEnd(() => rmSync(folder, { recursive: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
const begun = now()
const mintmark = async (env: Record<string, string>, ...words: string[]): Promise<string> => {
  const program = [bundled('cli'), ...words]
  return (await promisify(execFile)(process.execPath, program, { env: childEnvironment(env) })).stdout
}
try {
  await conductOutage(environment, {
    windowSeconds,
    perSecond,
    snapshots: join(folder, 'snapshots'),
    mintmark,
  })
} catch (error) {
  console.error(error)
  report.holds('it could be carried out', false, WHY.carriedOut)
} finally {
  await environment.close()
}
console.log(
  `\nA day without Postgres (${((now() - begun) / 60_000).toFixed(1)} minutes)\n${asLines(report.figures)}`,
)
const counted = report.figures.filter(({ kind }) => kind === 'invariant')
const failed = counted.filter(figure => hasFailed(figure, false)).length
console.log(`\n${counted.length - failed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)
