import { startVitest } from 'vitest/node'

/**
 * `npm run rotation-faults [-- --full] [name…]`: what a rotation must survive, on real processes. The short form is
 * part of .ci/run; the full one has 200 crashes and ten rotations under load. Ends with "N passed, N failed".
 */
const given = process.argv.slice(2)
if (given.includes('--full')) process.env.ROTATION_FULL = '1'
const names = given.filter(argument => !argument.startsWith('--'))
const vitest = await startVitest('test', names, { config: 'test/rotation/vitest.config.ts', watch: false })
const modules = vitest.state.getTestModules()
const tests = modules.flatMap(module => [...module.children.allTests()])
const count = (state: string) => tests.filter(test => test.result().state === state).length
const broken = modules.filter(
  module => !module.ok() && [...module.children.allTests('failed')].length === 0,
).length
await vitest.close()
console.log(`${count('passed')} passed, ${count('failed') + broken} failed`)
process.exitCode = count('passed') > 0 && count('failed') + broken === 0 ? 0 : 1
