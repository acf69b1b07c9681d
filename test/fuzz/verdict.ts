import { asLines, Report } from '../faults/environment/report.ts'

/** The share of responses that may be 503 before the run proves nothing. */
const MOST_LATE = 0.1
/** Of a request with its headers, in bytes. */
const LONGEST_HEAD = 16_000

/** The parts of Schemathesis's report that are read here, line by line. */
export type Events = readonly {
  ScenarioFinished?: {
    recorder: {
      /** The operation, or `Stateful tests`. */
      label: string
      cases: Record<string, { value: { method: string; path: string } }>
      checks: Record<string, { name: string; status: string }[]>
      /** Missing when no request was sent. */
      interactions?: Record<
        string,
        {
          request: { uri: string }
          response: { status_code: number; headers: Record<string, string[]> } | null
        }
      >
    }
  }
  NonFatalError?: object
  FatalError?: object
}[]

/**
 * Number of pairs of method and path, documented or not, with only correct responses, and of those with others. Prints
 * the requests, the responses, and the failures by name. An error in the service's log or of the fuzzer itself fails
 * too. 503 with Retry-After may occur on a busy machine: it is counted, and fails above a tenth of all responses.
 */
export function verdict(events: Events, faults: readonly string[]): { passed: number; failed: number } {
  const scenarios = events.flatMap(({ ScenarioFinished }) => ScenarioFinished?.recorder ?? [])
  const cases = scenarios.flatMap(({ cases, checks, interactions }) =>
    Object.entries(interactions ?? {}).map(([id, { request, response }]) => ({
      operation: `${cases[id]?.value.method} ${cases[id]?.value.path}`,
      status: response?.status_code ?? 0,
      late: response?.status_code === 503 && response.headers['retry-after'] !== undefined,
      // Node answers so for every route, before it has read which one.
      isTooLong: response?.status_code === 431 && request.uri.length > LONGEST_HEAD,
      held: response !== null && (checks[id] ?? []).every(({ status }) => status !== 'failure'),
    })),
  )
  const errors = events.filter(({ NonFatalError, FatalError }) => NonFatalError ?? FatalError)
  const byOperation = Map.groupBy(cases, ({ operation }) => operation)
  const broken = [...byOperation].filter(([, those]) =>
    those.some(({ held, late, isTooLong }) => !held && !late && !isTooLong),
  )
  console.log(`\n${cases.length} requests, ${byOperation.size} pairs of method and path, answered`)
  const byStatus = Map.groupBy(cases, ({ status }) => status)
  for (const [status, those] of [...byStatus].sort(([a], [b]) => a - b))
    console.log(`  ${status}: ${those.length}`)
  const late = cases.filter(each => each.late).length
  const report = new Report()
  report.measurement('answers that were 503 with Retry-After', late, { exactly: 0 })
  console.log(asLines(report.figures))
  const failures = [
    ...broken.map(([operation]) => `not as documented: ${operation}`),
    ...faults.map(fault => `in the log: ${fault}`),
    ...errors.map(error => `Schemathesis: ${JSON.stringify(error)}`),
  ]
  if (cases.length === 0) failures.push('nothing was asked')
  if (late > cases.length * MOST_LATE) failures.push(`${late} of ${cases.length} answers were 503`)
  for (const failure of failures) console.log(`  FAILED  ${failure}`)
  return { passed: byOperation.size - broken.length, failed: failures.length }
}
