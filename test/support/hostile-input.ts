import fc from 'fast-check'
import { expect } from 'vitest'
import { anyText } from './any-text.ts'
import { INTERNALS } from './internals.ts'

/** Any text, with a bias to text that breaks parsers. */
export const hostileText = fc.oneof(
  anyText({ maxLength: 80 }),
  fc.string({ maxLength: 80 }),
  fc.constantFrom(
    '',
    '\0',
    '\ud800',
    '__proto__',
    'constructor',
    '%00',
    '%zz',
    '../..',
    "' OR 1=1 --",
    '{}',
    '[]',
    '\r\nX: y',
    '\u202e',
    'null',
    '-0',
    '1e999',
  ),
)
/** For a path or a query. */
export const escaped = hostileText.map(text => encodeURIComponent(text.toWellFormed()))
/** The same, and incorrectly escaped text. */
export const rawEscaped = fc.oneof(
  escaped,
  fc.string({ maxLength: 40 }).map(text => text.replace(/[\s#?\\]/g, '%2')),
)

/** A slow disk or other load may delay a response for a second: that is rare and not caused by the input. */
const MOST_PAUSES = 3
let pauses = 0

/** For any request: a response below 500 without internal details. */
export function expectNoFault({ status, text }: { status: number; text: string }): void {
  expect(text).not.toMatch(INTERNALS)
  if (status === 503 && text.includes('unavailable') && ++pauses <= MOST_PAUSES) return
  expect(status).toBeGreaterThanOrEqual(200)
  expect(status).toBeLessThan(500)
}

/** Providers of these tests have the keys of an example. */
const ALARM = '"alarm":"identity-providers-share-a-key"'

/** Log lines that report an internal error. */
export const faultsIn = (logs: readonly string[]): string[] =>
  logs.filter(
    line =>
      /"level":"(error|fatal)"/.test(line) && !line.includes('"type":"Unavailable"') && !line.includes(ALARM),
  )
