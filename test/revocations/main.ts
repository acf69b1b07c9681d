import { Checks } from '../engine/checks.ts'
import { Environment } from '../faults/environment/environment.ts'
import { checkAttackers } from './attackers.ts'
import { checkIstio } from './istio.ts'
import { printListSizes } from './list-size.ts'
import { type Part, readOptions } from './options.ts'
import { checkOtherTokens } from './other-tokens.ts'
import { checkCutOff, checkPartition, checkRestore, checkWithoutMintmark } from './outages.ts'
import { lackingPrograms } from './programs.ts'
import { checkRounds } from './rounds.ts'
import { type Setting, startSetting } from './setting.ts'

/**
 * revocations/ revokes tokens at real gateways that have the list: Envoys that receive it, and Istio's with `mintmark sync`.
 *
 *   npm run revocations                                    all parts, short
 *   npm run revocations -- --parts rounds --rounds 500     how long a revoked token is accepted, under load
 *   npm run revocations -- --parts outages --partition 60  partitions, restores, Mintmark and Postgres stopped
 *   npm run revocations -- --parts attackers               someone between Envoy and Mintmark
 *   npm run revocations -- --parts others --requests 1000000 --changes 1000
 *                                                          requests with other tokens while the list changes; without
 *                                                          --requests for 30 s (--seconds)
 *   npm run revocations -- --parts sizes --entries 0,1000,10000,100000
 *                                                          latency and CPU of Envoy
 *   npm run revocations -- --parts istio --istio-rounds 20
 *
 * Needs Envoy (scripts/install-gateways.sh), wrk, for Istio istiod (scripts/install-istiod.sh), and a quiet machine. Ends with
 * "N passed, N failed".
 */
const options = readOptions()
const lacking = lackingPrograms(options.parts)
if (lacking) {
  console.log(`skipped: ${lacking}\n0 passed, 0 failed`)
  process.exit(0)
}
const checks = new Checks()
let environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
/** A part that ends with an error is a failure, and ends no other. */
const run = (work: () => Promise<void>) => checks.equal('it ran to its end', undefined, work)
const parts: Record<Part, () => Promise<void>> = {
  rounds: () => withSetting(setting => checkRounds(checks, environment, setting, options.rounds)),
  outages: () =>
    withSetting(async setting => {
      await run(() => checkPartition(checks, setting, options.partitionSeconds))
      await run(() => checkCutOff(checks, environment, setting))
      await run(() => checkRestore(checks, setting))
      await run(() => checkWithoutMintmark(checks, setting))
    }),
  attackers: () => withSetting(setting => checkAttackers(checks, environment, setting)),
  others: () => checkOtherTokens(checks, environment, options),
  sizes: () => printListSizes(environment, options.entries),
  istio: () => checkIstio(checks, environment, options.istioRounds),
}
for (const part of options.parts) {
  console.log(`\n${part}`)
  environment = new Environment({ full: false })
  await run(parts[part])
  await environment.close()
}
checks.end()

async function withSetting(work: (setting: Setting) => Promise<void>): Promise<void> {
  await work(await startSetting(environment))
}
