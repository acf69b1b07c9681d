import type { Command } from 'commander'
import { AdminClient } from '../../admin-client.ts'
import { fetchThrough } from '../../connection/fetch-through.ts'
import {
  CONTEXT_NAME,
  readContexts,
  removeStoredToken,
  storeToken,
  writeContexts,
} from '../../contexts/context-store.ts'
import { tokenFromCommand, trustAuthorities } from '../../contexts/selected-context.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import { readInput } from '../../input.ts'
import { ask, askHidden, canAsk } from '../../prompt.ts'
import { baseUrl, credential } from '../../settings.ts'
import { action, resultVerb } from '../../verb.ts'
import { CALLER_VIEW, type Caller } from './whoami.ts'

interface Options {
  context?: string
  publicUrl?: string
  caFile?: string
  tokenCommand?: string
}

const TRIAL_URL = 'http://127.0.0.1:8081'

export function loginCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(program, 'login [url]', {
    summary: 'store the URL and the token of a server, and use it from now on',
    details:
      'Asks for the admin token without showing it, or reads it from standard input; it is tried, and stored in a file that only ' +
      'you can read. With --token-command it is not stored: the command prints it each time. Variables such as MINTMARK_URL and ' +
      'MINTMARK_ADMIN_TOKEN take precedence.',
    examples: [
      'mintmark login https://mintmark.example.com:8081 --public-url https://tokens.example.com',
      'mintmark login https://mintmark.example.com:8081 --context prod --token-command "op read op://infra/mintmark/token"',
      'mintmark login < keys/root-token',
    ],
    quiet: 'print only the name of the context',
  })
    .option('--context <name>', 'name of the context (default: the host of the URL)')
    .option('--public-url <url>', 'base URL of the public listener, for "token get"')
    .option('--ca-file <file>', 'certificate authorities to trust as well')
    .option('--token-command <command>', 'shell command that prints the token')
  command.action(
    action<[url: string | undefined]>(environment, async ({ output }, given) => {
      const options = command.opts<Options>()
      const before = readContexts(environment)
      const known = options.context === undefined ? undefined : before.contexts[options.context]
      const url = parsedUrl('<url>', given ?? known?.url ?? (await askedUrl()))
      const name = checkedName(options.context ?? new URL(url).hostname.replace(/[[\]:]+/g, ''))
      const publicUrl = options.publicUrl ?? (known?.url === url ? known.public_url : undefined)
      const caFile = options.caFile ?? known?.ca_file
      if (caFile !== undefined) trustAuthorities(caFile)
      const { tokenCommand } = options
      const token = await presentedToken(environment, tokenCommand)
      const from = `the context "${name}"`
      const settings = { url, token, urlFrom: '<url>', tokenFrom: from, context: name }
      const admin = new AdminClient(settings, {}, { send: fetchThrough(environment) })
      const caller = await admin.get<Caller>('/whoami')
      if (tokenCommand === undefined) storeToken(environment, name, token)
      else removeStoredToken(environment, name)
      const context = {
        url,
        ...(publicUrl !== undefined && { public_url: parsedUrl('--public-url', publicUrl) }),
        ...(caFile !== undefined && { ca_file: caFile }),
        ...(tokenCommand !== undefined && { token_command: tokenCommand }),
      }
      writeContexts(environment, { current: name, contexts: { ...before.contexts, [name]: context } })
      const shown = { context: name, server: url, server_from: from, token_from: from, ...caller }
      await output.changed(
        shown,
        { ...CALLER_VIEW, id: ({ context }) => context ?? '' },
        `Logged in to ${url} as ${caller.id} (${caller.role}). The context is "${name}".`,
      )
      if (isPlain(url)) output.note('The URL is plain http: other machines on the way can read the token.')
    }),
  )
}

async function askedUrl(): Promise<string> {
  if (!canAsk()) return TRIAL_URL
  return (await ask(`URL of the admin listener [${TRIAL_URL}]: `))?.trim() || TRIAL_URL
}

async function presentedToken(environment: NodeJS.ProcessEnv, command: string | undefined): Promise<string> {
  const text =
    command !== undefined
      ? tokenFromCommand(environment, command)
      : canAsk()
        ? ((await askHidden('Admin token (not shown): ')) ?? '')
        : await readInput(undefined, 'no token: pipe it to standard input, or use --token-command.')
  if (text.trim() === '') throw new CliError(EXIT.usage, 'no token was given. Nothing was stored.')
  try {
    return credential(text)
  } catch (error) {
    throw new CliError(EXIT.usage, `the token ${(error as Error).message}.`)
  }
}

function parsedUrl(what: string, text: string): string {
  try {
    return baseUrl(text)
  } catch (error) {
    throw new CliError(EXIT.usage, `${what} ${(error as Error).message}.`)
  }
}

function checkedName(name: string): string {
  if (CONTEXT_NAME.test(name)) return name
  throw new CliError(EXIT.usage, '--context must be 1 to 63 letters, digits, ".", "_" and "-".')
}

const isPlain = (url: string) =>
  url.startsWith('http:') && !/^(localhost|127\..*|\[::1\])$/.test(new URL(url).hostname)
