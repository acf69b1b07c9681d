import { fetchThrough } from './connection/fetch-through.ts'
import { CliError, EXIT } from './exit-codes.ts'
import { httpCall } from './http-call.ts'
import { readInput } from './input.ts'

/** Reads a token of this platform from a file, or from standard input when `file` is "-". @throws {CliError} */
export async function identityTokenFrom(file: string): Promise<string> {
  const text = await readInput(file, 'no identity token: name a file, or pipe the token to standard input.')
  if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) return text
  throw new CliError(EXIT.usage, 'the identity token is not a JWT.')
}

const REQUEST_URL = 'ACTIONS_ID_TOKEN_REQUEST_URL'
const REQUEST_TOKEN = 'ACTIONS_ID_TOKEN_REQUEST_TOKEN'

/** Requests the token of a job of GitHub Actions, for this audience. @throws {CliError} */
export async function identityTokenOfGithub(
  audience: string,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const { [REQUEST_URL]: text = '', [REQUEST_TOKEN]: token = '' } = environment
  const url = URL.parse(text)
  if (!url || token === '')
    throw new CliError(
      EXIT.usage,
      `${REQUEST_URL} and ${REQUEST_TOKEN} are not set: run it in a job with "permissions: id-token: write".`,
    )
  url.searchParams.set('audience', audience)
  const headers = { authorization: `Bearer ${token}`, accept: 'application/json' }
  const { status, body } = await httpCall(url.href, { headers }, REQUEST_URL, fetchThrough(environment))
  const { value } = (body ?? {}) as { value?: unknown }
  if (status !== 200 || typeof value !== 'string')
    throw new CliError(EXIT.refused, `GitHub answers ${status} without an identity token.`)
  return value
}
