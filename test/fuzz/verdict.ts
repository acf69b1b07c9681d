/** The report of Schemathesis, line by line: what is read of it here. */
export type Events = readonly {
  ScenarioFinished?: {
    recorder: {
      /** The operation, or `Stateful tests`. */
      label: string
      cases: Record<string, { value: { method: string; path: string } }>
      checks: Record<string, { name: string; status: string }[]>
      /** Not there where nothing was asked. */
      interactions?: Record<string, { response: { status_code: number } | null }>
    }
  }
  NonFatalError?: object
  FatalError?: object
}[]

/**
 * How many pairs of method and path, documented or not, were answered as they should be each time, and how many were
 * not. Says what was asked, and what was answered. A fault in the service's log fails too, as does an error of the
 * fuzzer itself.
 */
export function verdict(events: Events, faults: readonly string[]): { passed: number; failed: number } {
  const scenarios = events.flatMap(({ ScenarioFinished }) => ScenarioFinished?.recorder ?? [])
  const cases = scenarios.flatMap(({ cases, checks, interactions }) =>
    Object.entries(interactions ?? {}).map(([id, { response }]) => ({
      operation: `${cases[id]?.value.method} ${cases[id]?.value.path}`,
      status: response?.status_code ?? 0,
      held: response !== null && (checks[id] ?? []).every(({ status }) => status !== 'failure'),
    })),
  )
  const errors = events.filter(({ NonFatalError, FatalError }) => NonFatalError ?? FatalError)
  const byOperation = Map.groupBy(cases, ({ operation }) => operation)
  const broken = [...byOperation].filter(([, those]) => those.some(({ held }) => !held))
  console.log(`\n${cases.length} requests, ${byOperation.size} pairs of method and path, answered`)
  const byStatus = Map.groupBy(cases, ({ status }) => status)
  for (const [status, those] of [...byStatus].sort(([a], [b]) => a - b))
    console.log(`  ${status}: ${those.length}`)
  for (const [operation] of broken) console.log(`not as documented: ${operation}`)
  for (const fault of [...faults, ...errors.map(error => JSON.stringify(error))])
    console.log(`fault: ${fault}`)
  const failed = broken.length + faults.length + errors.length
  // Nothing asked is nothing shown.
  return { passed: byOperation.size - broken.length, failed: byOperation.size === 0 ? failed + 1 : failed }
}
