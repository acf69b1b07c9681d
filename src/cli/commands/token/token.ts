import { type Command, Option } from 'commander'
import { fetchThrough } from '../../connection/fetch-through.ts'
import { CliError, EXIT, exitCodeOf } from '../../exit-codes.ts'
import { collect } from '../../field-options.ts'
import { type Answer, httpCall, notMintmark } from '../../http-call.ts'
import { identityTokenFrom, identityTokenOfGithub } from '../../identity-token.ts'
import { readInput } from '../../input.ts'
import { credential, readApiKey, readPublicUrl } from '../../settings.ts'
import { action, noun, resultVerb } from '../../verb.ts'
import { inspectCommand } from './token-inspect.ts'
import { tokenRevokeCommands } from './token-revoke.ts'

interface TokenAnswer {
  access_token: string
  token_type: string
  expires_in: number
  scope: string
}

interface TokenOptions {
  keyFile?: string
  fromFile?: string
  fromGithub?: boolean
  identityAudience?: string
  client?: string
  scope?: string[]
  audience?: string
  resource?: string[]
}

export function tokenCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const token = noun(program, 'token', {
    summary: 'exchange an API key for a token, and inspect and revoke tokens',
    examples: ['mintmark token get --key-file nightly.key | mintmark token inspect'],
  })
  const command = resultVerb(token, 'get', {
    summary: 'exchange an API key for a token, as a client does',
    details:
      'Reads the key from --key-file, else from MINTMARK_API_KEY or MINTMARK_API_KEY_FILE, else from standard input, ' +
      'never from the command line. With --from-file or --from-github a token of this platform is exchanged instead of a key. ' +
      'Only the token is printed on standard output.',
    examples: [
      'mintmark token get --key-file nightly.key',
      'mintmark key create acme --name trial -q | mintmark token get',
      'mintmark token get --from-file /var/run/secrets/mintmark/token',
      'mintmark token get --from-github --identity-audience https://tokens.example.com',
      'curl -H "Authorization: Bearer $(mintmark token get --key-file nightly.key)" https://gateway.example.com/v1/models',
    ],
    quiet: 'print only the token',
  })
    .option('--key-file <path>', 'file with the API key; "-" is standard input')
    .addOption(
      new Option(
        '--from-file <path>',
        'exchange the identity token in this file; "-" is standard input',
      ).conflicts(['keyFile', 'fromGithub']),
    )
    .addOption(
      new Option('--from-github', 'exchange the identity token of this job of GitHub Actions').conflicts(
        'keyFile',
      ),
    )
    .option('--identity-audience <url>', 'audience of the token of GitHub (default: MINTMARK_PUBLIC_URL)')
    .option('--client <id>', 'key or tenant of the identity token, if the rules of several keys match')
    .option('--scope <name>', 'request this scope (repeatable)', collect)
    .option('--audience <name>', 'request this audience')
    .option('--resource <uri>', 'request this resource, an absolute URI (repeatable)', collect)
  command.action(
    action(environment, async ({ output }) => {
      const options = command.opts<TokenOptions>()
      const publicUrl = readPublicUrl(environment)
      const presented = await presentedForm(publicUrl, options, environment)
      const answer = await exchange(publicUrl, presented, options, fetchThrough(environment))
      await output.either({ text: answer.access_token, json: answer, id: answer.access_token })
    }),
  )
  inspectCommand(token, environment)
  tokenRevokeCommands(token, environment)
}

async function presentedForm(
  publicUrl: string,
  options: TokenOptions,
  environment: NodeJS.ProcessEnv,
): Promise<Record<string, string>> {
  const { fromFile, fromGithub, identityAudience = publicUrl, client } = options
  if (fromFile === undefined && !fromGithub)
    return {
      grant_type: 'client_credentials',
      client_secret: await presentedKey(options.keyFile, environment),
    }
  const token =
    fromFile === undefined
      ? await identityTokenOfGithub(identityAudience, environment)
      : await identityTokenFrom(fromFile)
  return {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    subject_token: token,
    ...(client !== undefined && { client_id: client }),
  }
}

async function presentedKey(file: string | undefined, environment: NodeJS.ProcessEnv): Promise<string> {
  const fromVariable = file === undefined ? readApiKey(environment) : undefined
  if (fromVariable !== undefined) return fromVariable
  const text = await readInput(
    file,
    'no API key: set MINTMARK_API_KEY, use --key-file, or pipe the key to standard input.',
  )
  if (text === '') {
    const where = file === undefined || file === '-' ? 'standard input' : file
    throw new CliError(EXIT.usage, `no API key: ${where} is empty.`)
  }
  try {
    return credential(text)
  } catch (error) {
    throw new CliError(EXIT.usage, `the API key ${(error as Error).message}.`)
  }
}

async function exchange(
  publicUrl: string,
  presented: Record<string, string>,
  options: TokenOptions,
  send: typeof fetch,
): Promise<TokenAnswer> {
  const body = new URLSearchParams(presented)
  if (options.scope) body.set('scope', options.scope.join(' '))
  if (options.audience !== undefined) body.set('audience', options.audience)
  for (const resource of options.resource ?? []) body.append('resource', resource)
  const url = `${publicUrl}/oauth/token`
  const answer = await httpCall(
    url,
    { method: 'POST', body, headers: { accept: 'application/json' } },
    'MINTMARK_PUBLIC_URL',
    send,
  )
  if (answer.status === 200 && isTokenAnswer(answer.body)) return answer.body
  throw refusal(publicUrl, answer)
}

/** RFC 6749 §5.2. */
function refusal(publicUrl: string, { status, body }: Answer): CliError {
  const { error, error_description: description } = (body ?? {}) as Record<string, unknown>
  if (typeof error !== 'string' || status === 404) {
    if (exitCodeOf(status) !== EXIT.unavailable)
      return notMintmark(publicUrl, 'MINTMARK_PUBLIC_URL', 'public')
    return new CliError(EXIT.unavailable, `${publicUrl} answers ${status}: it is not ready. Retry.`)
  }
  const exitCode = error === 'unauthorized_client' ? EXIT.refused : exitCodeOf(status)
  return new CliError(exitCode, `the exchange was rejected (${error}): ${description ?? 'no reason given.'}`)
}

const isTokenAnswer = (body: unknown): body is TokenAnswer =>
  typeof (body as Partial<TokenAnswer> | undefined)?.access_token === 'string'
