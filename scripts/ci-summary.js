import { readFileSync } from 'node:fs'

/**
 * What .ci/run ends with, from the results that its steps left in a folder: every failed test and every figure that
 * missed its bar by name, then one line, "N passed, N failed". A figure counts as a test. Plain JavaScript, because
 * it runs on the machine's own Node.
 */
const folder = process.argv[2]
const read = name => readFileSync(`${folder}/${name}`, 'utf8')

const tests = JSON.parse(read('tests.json'))
const failures = tests.testResults.flatMap(({ name, status, assertionResults, message }) => {
  const failed = assertionResults.filter(test => test.status === 'failed')
  if (status === 'failed' && failed.length === 0) return [`${name}: ${message.split('\n')[0]}`]
  return failed.map(test => `${name}: ${test.fullName}: ${test.failureMessages[0]?.split('\n')[0]}`)
})
let passed = tests.numPassedTests

for (const name of ['faults', 'rotation', 'fuzz']) {
  const text = read(name)
  const [, held = 0, missed = 1] = /(\d+) passed, (\d+) failed\s*$/.exec(text) ?? []
  passed += Number(held)
  const lines = missedLines(text)
  failures.push(
    ...Array.from({ length: Number(missed) }, (_, index) => `${name}: ${lines[index] ?? 'see above'}`),
  )
}

for (const failure of failures) console.log(`failed: ${failure}`)
console.log(`${passed} passed, ${failures.length} failed`)

/** The last of each experiment counts: in the short form a missed bar is measured once more. */
function missedLines(text) {
  const byExperiment = new Map()
  let title = ''
  for (const line of text.split('\n')) {
    if (/^F\d+ .*\(\d+ s\)$/.test(line)) {
      title = line
      byExperiment.set(line.split(' ')[0], [])
    }
    if (/^ +(MISSED|FAIL) /.test(line))
      byExperiment.get(title.split(' ')[0])?.push(`${title}: ${line.trim()}`)
  }
  return [...byExperiment.values()].flat()
}
