import { CliError, EXIT } from './exit-codes.ts'

/** Keys and admin tokens in the format of api-keys/api-key.ts, and JWTs, which begin with `{"` in base64. */
const SECRET = /\bmm[kair]_[0-9A-Za-z]{16}_[0-9A-Za-z]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*/

/** No option takes a secret; one that was passed is exposed already. @throws {CliError} without repeating it */
export function refuseSecrets(argv: readonly string[]): void {
  if (!argv.some(argument => SECRET.test(argument))) return
  throw new CliError(EXIT.usage, 'a key or token is on the command line. Nothing was done.', [
    'Every process on this machine can read it there, and the shell stores it in its history: revoke it.',
    'Pass keys in MINTMARK_API_KEY, --key-file or standard input, and tokens in a file or standard input.',
  ])
}
