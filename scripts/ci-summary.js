import { existsSync, readFileSync } from 'node:fs'

/**
 * What .ci/run ends with, from the results that its steps left in a folder: every failed step, every failed test and
 * every figure that missed its bar by name, then one line, "N passed, N failed". A figure counts as a test, and so does
 * a step that has none. Plain JavaScript, because it runs on the machine's own Node.
 */
const folder = process.argv[2]
const read = name => (existsSync(`${folder}/${name}`) ? readFileSync(`${folder}/${name}`, 'utf8') : '')

/** Steps with figures of their own, and where they left them. */
const FIGURES = {
  Test: 'tests.json',
  Faults: 'faults',
  'Faults while keys rotate': 'rotation',
  'Fuzz the admin API': 'fuzz',
}

let passed = 0
const failures = []
for (const line of read('steps').trim().split('\n')) {
  const [, status, name] = /^(\d+) (.*)$/.exec(line)
  const told = failures.length
  if (FIGURES[name] === undefined) passed += status === '0' ? 1 : 0
  else if (name === 'Test') countTests(read(FIGURES[name]))
  else countFigures(FIGURES[name], read(FIGURES[name]))
  if (status !== '0' && failures.length === told) failures.push(`${name}: ended with status ${status}`)
}

for (const failure of failures) console.log(`failed: ${failure}`)
console.log(`${passed} passed, ${failures.length} failed`)
process.exitCode = failures.length === 0 ? 0 : 1

function countTests(text) {
  if (text === '') return
  const tests = JSON.parse(text)
  for (const { name, status, assertionResults, message } of tests.testResults) {
    const failed = assertionResults.filter(test => test.status === 'failed')
    if (status === 'failed' && failed.length === 0) failures.push(`${name}: ${message.split('\n')[0]}`)
    for (const test of failed)
      failures.push(`${name}: ${test.fullName}: ${test.failureMessages[0]?.split('\n')[0]}`)
  }
  passed += tests.numPassedTests
}

function countFigures(name, text) {
  const [, held = 0, missed = 1] = /(\d+) passed, (\d+) failed\s*$/.exec(text) ?? []
  passed += Number(held)
  const lines = missedLines(text)
  failures.push(
    ...Array.from({ length: Number(missed) }, (_, index) => `${name}: ${lines[index] ?? 'see above'}`),
  )
}

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
