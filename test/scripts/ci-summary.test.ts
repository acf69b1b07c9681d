import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'

const script = new URL('../../scripts/ci-summary.js', import.meta.url).pathname
const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

function summary(files: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-summary-'))
  folders.push(folder)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  const { status, stdout } = spawnSync(process.execPath, [script, folder], { encoding: 'utf8' })
  return { status, lines: stdout.trim().split('\n') }
}

const tests = (failed: string[]) =>
  JSON.stringify({
    numPassedTests: 7,
    testResults: [
      {
        name: 'test/a.test.ts',
        status: failed.length > 0 ? 'failed' : 'passed',
        assertionResults: failed.map(fullName => ({
          status: 'failed',
          fullName,
          failureMessages: ['expected 1 to be 2\n    at …'],
        })),
      },
    ],
  })

it('counts steps, tests and figures, and says so in the last line', () => {
  const files = {
    steps: '0 Install\n0 Test\n0 Faults\n0 Bare machine: Node 20, npm 10, root\n',
    'tests.json': tests([]),
    faults: 'F1 kill (3 s)\n   ok  something\n\n5 passed, 0 failed\n',
  }
  expect(summary(files)).toEqual({ status: 0, lines: ['14 passed, 0 failed'] })
})

it('names what failed: a step, a test, a figure', () => {
  const files = {
    steps: '0 Install\n1 Test\n1 Faults\n3 Bare machine: Node 20, npm 10, root\n',
    'tests.json': tests(['adds up']),
    faults: 'F1 kill (3 s)\n   MISSED p99 220 ms\n\n4 passed, 1 failed\n',
  }
  expect(summary(files)).toEqual({
    status: 1,
    lines: [
      'failed: test/a.test.ts: adds up: expected 1 to be 2',
      'failed: faults: F1 kill (3 s): MISSED p99 220 ms',
      'failed: Bare machine: Node 20, npm 10, root: ended with status 3',
      '12 passed, 3 failed',
    ],
  })
})

it('names a step that ended badly though nothing in it failed, or before it had a result', () => {
  const files = {
    steps: '1 Test\n1 Faults\n1 Fuzz the admin API\n',
    'tests.json': tests([]),
    faults: 'F1 began',
  }
  expect(summary(files).lines).toEqual([
    'failed: Test: ended with status 1',
    'failed: faults: see above',
    'failed: fuzz: see above',
    '7 passed, 3 failed',
  ])
  expect(summary({ steps: '1 Test\n' }).lines.at(-1)).toBe('0 passed, 1 failed')
})

it('does not count what was never reached', () => {
  expect(summary({ steps: '1 Install\n' }).lines).toEqual([
    'failed: Install: ended with status 1',
    '0 passed, 1 failed',
  ])
})
