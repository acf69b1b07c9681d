import { startVitest } from 'vitest/node'

/**
 * `npm run rotation-faults [-- --full] [name…]`: faults during rotation, with real processes. The short form is part of
 * .ci/run; the full one has 200 crashes and ten rotations under load. Ends with the names of failed checks, and "N
 * passed, N failed".
 */
const given = process.argv.slice(2)
if (given.includes('--full')) process.env.ROTATION_FULL = '1'
const names = given.filter(argument => !argument.startsWith('--'))
const vitest = await startVitest('test', names, {
  config: 'test/faults/rotation/vitest.config.ts',
  watch: false,
})
const modules = vitest.state.getTestModules()
const tests = modules.flatMap(module => [...module.children.allTests()])
const passed = tests.filter(test => test.result().state === 'passed').length
const failed = tests.filter(test => test.result().state === 'failed')
const broken = modules.filter(module => !module.ok() && [...module.children.allTests('failed')].length === 0)
const failures = [
  ...failed.map(test => `${test.fullName}: ${firstLine(test.result().errors?.[0]?.message)}`),
  ...broken.map(module => `${module.relativeModuleId}: ${firstLine(module.errors()[0]?.message)}`),
]
await vitest.close()
for (const failure of failures) console.log(`  FAILED  ${failure}`)
console.log(`${passed} passed, ${failures.length} failed`)
process.exitCode = passed > 0 && failures.length === 0 ? 0 : 1

function firstLine(message = 'no message'): string {
  return message.split('\n')[0] ?? ''
}
