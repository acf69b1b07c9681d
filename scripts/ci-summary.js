import { readdirSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'

/**
 * Summary of .ci/run, from the results that its steps left in a folder: `tests.json` (Vitest's JSON report) and the
 * output of the others, each in a file with the step's name; and `steps`, a line "<exit status> <name>" for each step
 * without results of its own. Prints the measurements outside their usual limits as information, then every failed test,
 * invariant and step by name, then one line, "N passed, N failed", with status 1 when something failed.
 *
 * `tests-again.json` is the report of test files that failed for want of time only, and were run again alone
 * (ci-late-tests.js): what passed then is printed with the measurements.
 *
 * A missing, unreadable or truncated result counts as one named failure. A nonzero status in `<step>.status` without a
 * failure in the step's results is a failure too: Vitest reports errors outside of its tests in no other way. Plain
 * JavaScript, because it runs on the machine's own Node, from 18.
 */
const REQUIRED = ['tests.json', 'faults', 'rotation', 'fuzz']
const AGAIN = 'tests-again.json'

const folder = process.argv[2] ?? ''
const files = listed(folder)
const others = files.filter(file => ![...REQUIRED, AGAIN].includes(file) && !/^steps$|\.status$/.test(file))

const resulting = [...REQUIRED, ...others].map(file => {
  const step = file.replace(/\.json$/, '')
  const found = attempt(() => (file.endsWith('.json') ? readReport(file, step) : readOutput(file, step)))
  const status = files.includes(`${step}.status`) ? read(`${step}.status`).trim() : '0'
  if (status !== '0' && found.failures.length === 0 && !found.repeated)
    found.failures.push(`${step}: ended with status ${status}, and nothing in its results says why`)
  return found

  function attempt(reading) {
    try {
      return reading()
    } catch (error) {
      const why = files.includes(file) ? `unreadable (${oneLine(error.message)})` : 'missing'
      return { passed: 0, failures: [`${step}: its results are ${why}`], outside: [] }
    }
  }
})

const steps = [...plainSteps(), ...resulting]
const failures = steps.flatMap(step => step.failures)
const passed = steps.reduce((sum, step) => sum + step.passed, 0)
for (const measurement of steps.flatMap(step => step.outside))
  console.log(`outside its bound, not a failure: ${measurement}`)
for (const failure of failures) console.log(`failed: ${failure}`)
console.log(`${passed} passed, ${failures.length} failed`)
process.exitCode = failures.length > 0 ? 1 : 0

/** Each step without results of its own counts as one that passed or failed. */
function plainSteps() {
  if (!files.includes('steps')) return []
  return read('steps')
    .trim()
    .split('\n')
    .map(line => {
      const [, status, name] = /^(\d+) (.*)$/.exec(line) ?? [line, '?', `steps: "${line}"`]
      if (status === '0') return { passed: 1, failures: [], outside: [] }
      return { passed: 0, failures: [`${name}: ended with status ${status}`], outside: [] }
    })
}

/** The JSON report of Vitest. A test file that failed to load has no tests, and a message. */
function readReport(file, step) {
  const { testResults } = JSON.parse(read(file))
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
  const passedAgain = files.includes(AGAIN)
    ? JSON.parse(read(AGAIN)).testResults.filter(({ status }) => status === 'passed')
    : []
  const [failures, outside] = [[], []]
  for (const { name, status, assertionResults, message } of testResults) {
    const where = relative(process.cwd(), name)
    const failed = assertionResults.filter(test => test.status === 'failed')
    const found = failed.map(test => `${where}: ${test.fullName}: ${oneLine(test.failureMessages?.[0])}`)
    if (status === 'failed' && failed.length === 0) found.push(`${where}: ${oneLine(message)}`)
    if (passedAgain.some(again => again.name === name))
      outside.push(...found.map(failure => `${failure}; its file passed when it was run again alone`))
    else failures.push(...found)
  }
  if (tests.length === 0 && failures.length === 0) failures.push(`${step}: nothing was tested`)
  const passed = tests.filter(test => test.status === 'passed').length
  return { passed, failures, outside, repeated: outside.length > 0 }
}

/** The output of a step: marked lines, each below the title of its experiment if it has one; the count is last. */
function readOutput(file, step) {
  const lines = stripVTControlCharacters(read(file)).trimEnd().split('\n')
  const [failures, outside] = [[], []]
  let experiment = step
  for (const line of lines) {
    experiment = /^F\d+ .+(?= \(\d+ s\)$)/.exec(line)?.[0] ?? experiment
    const [, mark, text = ''] = /^ {2}(FAILED|outside) +(.+)$/.exec(line) ?? []
    if (mark) (mark === 'FAILED' ? failures : outside).push(`${experiment}: ${text.replace(/ {2,}/g, ', ')}`)
  }
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/.exec(lines.at(-1) ?? '') ?? []
  if (passed === undefined) {
    failures.push(`${step}: ended before its last line, "N passed, N failed"`)
    return { passed: 0, failures, outside }
  }
  while (failures.length < Number(failed)) failures.push(`${step}: one that it does not name`)
  if (Number(passed) === 0 && failures.length === 0) failures.push(`${step}: nothing was tested`)
  return { passed: Number(passed), failures, outside }
}

function listed(name) {
  try {
    return readdirSync(name)
  } catch {
    return []
  }
}

function read(file) {
  return readFileSync(`${folder}/${file}`, 'utf8')
}

function oneLine(message) {
  return String(message ?? 'no message').split('\n')[0]
}
