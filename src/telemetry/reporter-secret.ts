import type { KnownReporters } from '../usage/known-reporters.ts'
import type { LiveReporter } from '../usage/usage-reporter.ts'

export const SEND_A_SECRET = 'Send the secret of a usage reporter as "Authorization: Bearer <secret>".'

/** The reporter whose secret is in this header. Undefined: none. @throws {Unavailable} */
export function reporterOf(
  reporters: KnownReporters,
  authorization: string | undefined,
): LiveReporter | undefined {
  const [, presented] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? []
  return presented === undefined ? undefined : reporters.authenticate(presented)
}
