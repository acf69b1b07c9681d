import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

const SCRIPT = fileURLToPath(new URL('../../scripts/ci-summary.js', import.meta.url))
const LATE = fileURLToPath(new URL('../../scripts/ci-late-tests.js', import.meta.url))
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

/** Results of one test file, in the format of Vitest's JSON reporter. */
const passing = { fullName: 'keys are listed', status: 'passed', failureMessages: [] }
const failing = {
  fullName: 'keys are revoked',
  status: 'failed',
  failureMessages: ['AssertionError: expected 200 to be 401\n    at file.ts:1'],
}
const report = (...testResults: object[]) => JSON.stringify({ success: true, testResults })
const fileOf = (...assertionResults: object[]) => ({
  name: join(process.cwd(), 'test/keys.test.ts'),
  status: assertionResults.includes(failing) ? 'failed' : 'passed',
  message: '',
  assertionResults,
})

const FAULTS = `
F1 kill -9 of Postgres (25 s)
  ok      exchanges of known keys that failed          0   must be 0
  outside exchanges of known keys, 99th percentile  1,975 ms   usually ≤ 50 ms

F5 Failover to a promoted standby (20 s)
  ok      what was lost can be done again  yes   must be yes
`
const BROKEN = FAULTS.replace(
  'ok      what was lost can be done again  yes',
  'FAILED  what was lost can be done again  no',
)
const FINE: Record<string, string | undefined> = {
  'tests.json': report(fileOf(passing, passing)),
  faults: `${FAULTS}\n2 passed, 0 failed\n`,
  rotation: 'a line\n3 passed, 0 failed\n',
  fuzz: '\n100 passed, 0 failed\n',
}

function summary(changed: Record<string, string | undefined>) {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-summary-'))
  folders.push(folder)
  for (const [name, text] of Object.entries({ ...FINE, ...changed }))
    if (text !== undefined) writeFileSync(join(folder, name), text)
  const { stdout, stderr, status } = spawnSync(process.execPath, [SCRIPT, folder], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return { lines: stdout.trimEnd().split('\n'), status }
}

const OUTSIDE =
  'outside its bound, not a failure: F1 kill -9 of Postgres: exchanges of known keys, 99th percentile, 1,975 ms, usually ≤ 50 ms'

const late = {
  ...failing,
  fullName: 'keys come',
  failureMessages: ['Error: not within 30000 ms: the key is known; last: 503\n    at until.ts:1'],
}
const lateFile = (...assertionResults: object[]) => ({ ...fileOf(...assertionResults), status: 'failed' })

describe('test files that failed', () => {
  const repeated = (tests: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'mintmark-late-'))
    folders.push(folder)
    writeFileSync(join(folder, 'tests.json'), tests)
    const { stdout } = spawnSync(process.execPath, [LATE, join(folder, 'tests.json')], { encoding: 'utf8' })
    return stdout.split('\n').filter(Boolean)
  }
  const failedWith = (message: string) => lateFile({ ...late, failureMessages: [message] })

  it.each([
    ['Error: Test timed out in 60000ms.'],
    ['Error: Hook timed out in 180000ms.'],
    ['AssertionError: expected 503 to be 200 // Object.is equality'],
    ['Error: the tenant was refused: {"status":503,"detail":"The database does not answer. Retry."}'],
  ])('are repeated for want of time: %s', message => {
    expect(repeated(report(failedWith(message)))).toEqual([fileOf().name])
    expect(repeated(report({ ...fileOf(), status: 'failed', message }))).toEqual([fileOf().name])
  })

  it('are not repeated for anything else, nor for both', () => {
    expect(repeated(report(fileOf(passing), lateFile(failing), lateFile(late, failing)))).toEqual([])
    expect(repeated(report(failedWith('AssertionError: expected 200 to be 503')))).toEqual([])
    expect(repeated(report({ ...fileOf(), status: 'failed', message: "Cannot find module 'a'" }))).toEqual([])
    expect(repeated('{')).toEqual([])
  })

  it('are named, and no failures, when they passed alone', () => {
    const tests = report(lateFile(passing, late))
    const said = 'test/keys.test.ts: keys come: Error: not within 30000 ms: the key is known; last: 503'
    const status = { 'tests.json': tests, 'tests.status': '1\n' }
    expect(summary({ ...status, 'tests-again.json': report(fileOf(passing, passing)) })).toEqual({
      lines: [
        `outside its bound, not a failure: ${said}; its file passed when it was run again alone`,
        OUTSIDE,
        '106 passed, 0 failed',
      ],
      status: 0,
    })
    for (const again of [report(lateFile(passing, late)), undefined])
      expect(summary({ ...status, 'tests-again.json': again })).toEqual({
        lines: [OUTSIDE, `failed: ${said}`, '106 passed, 1 failed'],
        status: 1,
      })
  })
})

describe('the summary of CI', () => {
  it('counts the passed checks, and lists measurements outside their bounds', () => {
    expect(summary({})).toEqual({ lines: [OUTSIDE, '107 passed, 0 failed'], status: 0 })
  })

  it.each([
    [
      'a test that failed',
      { 'tests.json': report(fileOf(passing, failing)) },
      'test/keys.test.ts: keys are revoked: AssertionError: expected 200 to be 401',
      '106 passed, 1 failed',
    ],
    [
      'a test file that could not be loaded',
      {
        'tests.json': report(fileOf(passing, passing), {
          ...fileOf(),
          status: 'failed',
          message: "Cannot find module './nothing.ts'\nmore",
        }),
      },
      "test/keys.test.ts: Cannot find module './nothing.ts'",
      '107 passed, 1 failed',
    ],
    [
      'an error outside of all tests, which only the exit status shows',
      { 'tests.status': '1\n' },
      'tests: ended with status 1, and nothing in its results says why',
      '107 passed, 1 failed',
    ],
    ['no test report', { 'tests.json': undefined }, 'tests: its results are missing', '105 passed, 1 failed'],
    [
      'a test report without tests',
      { 'tests.json': report() },
      'tests: nothing was tested',
      '105 passed, 1 failed',
    ],
    [
      'no output of a step',
      { rotation: undefined },
      'rotation: its results are missing',
      '104 passed, 1 failed',
    ],
    [
      'an invariant that does not hold',
      { faults: `${BROKEN}\n1 passed, 1 failed\n` },
      'F5 Failover to a promoted standby: what was lost can be done again, no, must be yes',
      '106 passed, 1 failed',
    ],
    [
      'an output that is cut off',
      { faults: FAULTS },
      'faults: ended before its last line, "N passed, N failed"',
      '105 passed, 1 failed',
    ],
    [
      'a step that counts a failure and does not name it',
      { fuzz: '99 passed, 1 failed\n' },
      'fuzz: one that it does not name',
      '106 passed, 1 failed',
    ],
    [
      'a step that tested nothing',
      { fuzz: '0 passed, 0 failed\n' },
      'fuzz: nothing was tested',
      '7 passed, 1 failed',
    ],
    [
      'a step without results of its own that failed, and one that did not',
      { steps: '0 Install\n3 Bare machine: Node 20, npm 10, root\n' },
      'Bare machine: Node 20, npm 10, root: ended with status 3',
      '108 passed, 1 failed',
    ],
    [
      'a step of another name',
      { engine: '  FAILED  priority is obeyed\n4 passed, 1 failed\n' },
      'engine: priority is obeyed',
      '111 passed, 1 failed',
    ],
  ])('names %s', (_, changed, failure, last) => {
    const { lines, status } = summary(changed)
    expect(lines).toEqual([OUTSIDE, `failed: ${failure}`, last])
    expect(status).toBe(1)
  })

  it('counts unreadable results, and continues', () => {
    const { lines, status } = summary({ 'tests.json': '{"testResults": [{"assertion' })
    expect(lines.at(-2)).toMatch(/^failed: tests: its results are unreadable \(.+\)$/)
    expect(lines.at(-1)).toBe('105 passed, 1 failed')
    expect(status).toBe(1)
  })

  it('names what failed before an output was truncated', () => {
    const { lines } = summary({ faults: BROKEN })
    expect(lines.slice(-3, -1)).toEqual([
      'failed: F5 Failover to a promoted standby: what was lost can be done again, no, must be yes',
      'failed: faults: ended before its last line, "N passed, N failed"',
    ])
    expect(lines.at(-1)).toBe('105 passed, 2 failed')
  })

  it('counts four failures in a folder that does not exist', () => {
    const { stdout, status } = spawnSync(process.execPath, [SCRIPT, join(tmpdir(), 'mintmark-none')], {
      encoding: 'utf8',
    })
    expect([stdout.trimEnd().split('\n').at(-1), status]).toEqual(['0 passed, 4 failed', 1])
  })
})
