import { CliError, EXIT } from './exit-codes.ts'

/** Keys and admin tokens in the format of api-keys/api-key.ts, and JWTs, which begin with `{"` in base64. */
const SECRET = /\bmm[ka]_[0-9A-Za-z]{16}_[0-9A-Za-z]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*/

/** No option takes a secret; one that was passed is exposed already. @throws {CliError} without repeating it */
export function refuseSecrets(argv: readonly string[]): void {
  if (!argv.some(argument => SECRET.test(argument))) return
  throw new CliError(EXIT.usage, 'there is a key or a token on the command line, and nothing was done.', [
    'Every process on this machine can read it there, and the shell keeps it in its history: revoke it.',
    'Keys come from MINTMARK_API_KEY, --key-file or standard input, tokens from a file or standard input.',
  ])
}
