import { describe, expect, it } from 'vitest'
import { CliError, EXIT } from '../../src/cli/exit-codes.ts'
import { explain } from '../../src/cli/explain.ts'
import { CannotStart } from '../../src/errors.ts'

/** What a command prints of an error: a message where it was foreseen, else what a person needs to find the bug. */

const cause = Object.assign(new TypeError('Invalid URL'), { input: 'postgres://owner:hunter2@db/mintmark' })
const bug = new Error('the URL was not read', { cause })

describe('an error that nobody foresaw', () => {
  it('is shown with its stack and those of its causes', () => {
    const shown = explain(bug, {})
    expect(shown).toMatch(
      /^Error: the URL was not read\n +at .*unforeseen-errors[\s\S]*\ncaused by: TypeError: Invalid URL\n +at /,
    )
  })

  it('is shown without its other fields, which may have a password', () => {
    expect(explain(bug, { LOG_LEVEL: 'debug' })).not.toContain('hunter2')
  })

  it('is shown as it is when it is no Error', () => {
    expect(explain('thrown text', {})).toBe('thrown text')
  })
})

describe.each([
  ['of a command', new CliError(EXIT.conflict, 'the trail does not verify.')],
  ['at the start', new CannotStart('the trail does not verify.')],
])('an error that was foreseen, %s,', (_, error) => {
  it('is its message; with LOG_LEVEL=debug its stack as well', () => {
    expect(explain(error, {})).toBe('the trail does not verify.')
    expect(explain(error, { LOG_LEVEL: 'debug' })).toMatch(/the trail does not verify\.\n +at /)
  })
})
