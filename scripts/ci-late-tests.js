import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

/**
 * The test files of a JSON report of Vitest all of whose failures are for want of time: a timeout, a condition that did not
 * come in time, a 503 because Postgres was late. `.ci/run` repeats these files once, alone. Other failures, such as a
 * forgery that was accepted, are never repeated.
 *
 *   node scripts/ci-late-tests.js results/tests.json prints them, a line each
 */
const FOR_WANT_OF_TIME = [
  /^Error: (Test|Hook) timed out in \d+ms/,
  /^Error: not within \d+ ms: /,
  /^AssertionError: expected 503 to be [1-4]\d\d\b/,
  /The database does not answer\. Retry\./,
]

/** @param {string} report @returns {string[]} absolute paths */
export function lateFiles(report) {
  return JSON.parse(report)
    .testResults.filter(({ status, message, assertionResults }) => {
      const failed = assertionResults.filter(test => test.status === 'failed')
      const messages = failed.map(test => test.failureMessages?.[0] ?? '')
      if (status === 'failed' && failed.length === 0) messages.push(message ?? '')
      return messages.length > 0 && messages.every(isForWantOfTime)
    })
    .map(({ name }) => name)
}

const isForWantOfTime = message => FOR_WANT_OF_TIME.some(pattern => pattern.test(message))

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    for (const file of lateFiles(readFileSync(process.argv[2] ?? '', 'utf8'))) console.log(file)
  } catch (error) {
    // The summary says that the report is missing or unreadable.
    console.error(`no test is repeated: ${error.message}`)
  }
}
