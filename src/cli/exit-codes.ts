/** How a command ends, for scripts; explained in docs/guides/cli.md. */
export const EXIT = {
  ok: 0,
  /** A fault of ours, or something that nobody foresaw. */
  fault: 1,
  /** The command line, a variable or the input is not what it should be. Nothing was asked of the service. */
  usage: 2,
  /** No credential, one that is not valid, or one without the right; and a token that does not verify. */
  refused: 3,
  notFound: 4,
  /** The service understood, and the request is invalid or conflicts with the state of things. */
  conflict: 5,
  /** Nothing answered in time, or the service cannot answer now: try again later. */
  unavailable: 6,
} as const

type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** An end that was foreseen: `message` is for the person at the terminal, `details` are lines below it. */
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

/** What an HTTP status of the admin API or of the token endpoint means to a script. */
export function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.refused
  if (status === 404) return EXIT.notFound
  if (status === 429 || (status >= 502 && status <= 504)) return EXIT.unavailable
  return status >= 400 && status < 500 ? EXIT.conflict : EXIT.fault
}
