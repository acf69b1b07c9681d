import type { Checks } from '../engine/checks.ts'
import { checkEightLimits } from './eight-limits.ts'
import { Matrix } from './matrix.ts'
import { olderEnvoys } from './programs.ts'
import { checkForged } from './requests.ts'
import { checkSdks } from './sdks.ts'
import type { Setting } from './setting.ts'

/** The first whose filters have limits of their own. */
const OWN_LIMITS = '1.39'

/** deploy/envoy/envoy-request-limits.yaml on older Envoys, and envoy-limits.yaml on those that can. */
export async function checkOlderEnvoys(checks: Checks, setting: Setting): Promise<void> {
  console.log('\nolder Envoys')
  const programs = olderEnvoys()
  if (programs.length === 0) console.log('  note    not run: run scripts/install-older-envoys.sh')
  for (const [version, program] of programs) {
    const ofTokens = version.localeCompare(OWN_LIMITS, 'en', { numeric: true }) > 0
    if (!ofTokens)
      await checks.equal(`Envoy ${version} does not start with envoy-limits.yaml`, true, () =>
        setting.olderEnvoy(program, 'envoy-limits.yaml').then(
          () => false,
          (error: Error) => error.message.includes("'limit' field is not supported"),
        ),
      )
    for (const file of ['envoy-request-limits.yaml', ...(ofTokens ? ['envoy-limits.yaml'] : [])]) {
      const envoy = await setting.olderEnvoy(program, file)
      const matrix = new Matrix(checks, `Envoy ${version} with ${file}`)
      await checkEightLimits(matrix, setting, envoy.url, { ofTokens: file === 'envoy-limits.yaml' })
      await checkForged(checks, setting, envoy.url)
      await checkSdks(checks, setting, envoy.url)
      matrix.print()
      await envoy.stop()
    }
  }
}
