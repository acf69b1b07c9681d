/** The exit codes of commands, for scripts; explained in docs/guides/cli.md. */
export const EXIT = {
  ok: 0,
  /** A bug or an unexpected error. */
  fault: 1,
  /** The command line, a variable or the input is invalid. Nothing was changed. */
  usage: 2,
  /** A missing, invalid or insufficient credential; or a token that does not verify. */
  refused: 3,
  notFound: 4,
  /** The service rejected the request: it is invalid or conflicts with the current state. */
  conflict: 5,
  /** No response in time, or the service is unavailable: retry later. */
  unavailable: 6,
  /** `mintmark diff`: the installation is not as the files say. */
  differs: 7,
} as const

type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** An expected failure: `message` is for the person at the terminal, `details` are lines below it. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: ExitCode
  readonly details: readonly string[]

  constructor(exitCode: ExitCode, message: string, details: readonly string[] = []) {
    super(message)
    this.exitCode = exitCode
    this.details = details
  }
}

/** The exit code for an HTTP status of the admin API or of the token endpoint. */
export function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.refused
  if (status === 404) return EXIT.notFound
  if (status === 429 || (status >= 502 && status <= 504)) return EXIT.unavailable
  return status >= 400 && status < 500 ? EXIT.conflict : EXIT.fault
}
