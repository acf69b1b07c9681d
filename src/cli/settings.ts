import { existsSync } from 'node:fs'
import { Env, type VariableDescription } from '../config/env.ts'
import {
  type SelectedContext,
  selectedContext,
  tokenOf,
  trustAuthorities,
} from './contexts/selected-context.ts'
import { CliError, EXIT } from './exit-codes.ts'

/**
 * The settings of the commands that talk to a running service: variables, else the context of "mintmark login", else
 * defaults. `serve` and `migrate` have their own variables (config.ts).
 */

export interface AdminSettings {
  url: string
  token: string
  /** What set the URL, for messages: `MINTMARK_URL`, or `the context "prod"`. */
  urlFrom: string
  tokenFrom: string
  context: string | null
}

/** The root token file of a trial, relative to its folder. */
const TRIAL_TOKEN = 'keys/root-token'

/**
 * `runsCommands: false` never runs the command of a context that prints its token.
 * @throws {ConfigError} @throws {CliError} when there is no token, or it is from a variable and no variable says for which server.
 */
export function readAdminSettings(
  environment: NodeJS.ProcessEnv,
  { runsCommands = true }: { runsCommands?: boolean } = {},
): AdminSettings {
  const env = new Env(environment)
  const own = adminUrl(env)
  const token = adminToken(env)
  const name = contextName(env)
  env.throwFaults()
  const context = selectedContext(environment, name)
  // Who exports a token means the server that was meant then, and not the one that is current now.
  if (token && own === undefined && name === undefined && context)
    throw new CliError(
      EXIT.usage,
      `${token.from} is set without a server, and the current context "${context.name}" is for ${context.url}. Nothing was sent.`,
      [
        `To send it there: MINTMARK_CONTEXT=${context.name}. To another server: MINTMARK_URL.`,
        `To use the token of the context: unset ${token.from} and ${token.from}_FILE.`,
      ],
    )
  const url = own ?? context?.url ?? DEFAULT_URL
  const urlFrom = own === undefined && context ? named(context) : 'MINTMARK_URL'
  if (context?.ca_file !== undefined && url === context.url) trustAuthorities(context.ca_file)
  const common = { url, urlFrom, context: context?.name ?? null }
  if (token !== undefined) return { ...common, token: token.value, tokenFrom: token.from }
  // A token is for the server that it was stored for, and goes to no other.
  if (context && url === context.url && (runsCommands || context.token_command === undefined))
    return { ...common, token: stored(environment, context), tokenFrom: named(context) }
  throw new CliError(
    EXIT.refused,
    'no admin token: run "mintmark login", or set MINTMARK_ADMIN_TOKEN, or MINTMARK_ADMIN_TOKEN_FILE to a file with it.',
    cures(context),
  )
}

function cures(context: SelectedContext | undefined): string[] {
  if (context)
    return [`The token of ${named(context)} is for ${context.url}, and MINTMARK_URL is another server.`]
  return existsSync(TRIAL_TOKEN)
    ? [
        `To use the token of the quickstart in this directory: export MINTMARK_ADMIN_TOKEN_FILE=${TRIAL_TOKEN}`,
      ]
    : []
}

const named = ({ name }: SelectedContext) => `the context "${name}"`

function stored(environment: NodeJS.ProcessEnv, context: SelectedContext): string {
  try {
    return credential(tokenOf(environment, context))
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError(EXIT.usage, `the token of ${named(context)} ${(error as Error).message}.`)
  }
}

/** @throws {ConfigError} @throws {CliError} when the context has no public URL. */
export function readPublicUrl(environment: NodeJS.ProcessEnv): string {
  const env = new Env(environment)
  const own = publicUrl(env)
  const name = contextName(env)
  env.throwFaults()
  if (own !== undefined) return own
  const context = selectedContext(environment, name)
  if (!context) return DEFAULT_PUBLIC_URL
  if (context.ca_file !== undefined) trustAuthorities(context.ca_file)
  if (context.public_url !== undefined) return context.public_url
  throw new CliError(
    EXIT.usage,
    `${named(context)} has no public URL: set MINTMARK_PUBLIC_URL, or "mintmark login --context ${context.name} --public-url <url>".`,
  )
}

/** @throws {ConfigError} */
export function readApiKey(environment: NodeJS.ProcessEnv): string | undefined {
  const env = new Env(environment)
  const key = apiKey(env)
  env.throwFaults()
  return key
}

/** Whether scripts confirm in the environment, as older versions reject the option `--yes`. @throws {ConfigError} */
export function confirmedByDefault(environment: NodeJS.ProcessEnv): boolean {
  const env = new Env(environment)
  const confirmed = yes(env)
  env.throwFaults()
  return confirmed
}

/** For how many seconds one request is repeated while the service is unavailable. @throws {ConfigError} */
export function retrySeconds(environment: NodeJS.ProcessEnv): number {
  const env = new Env(environment)
  const seconds = retries(env)
  env.throwFaults()
  return seconds
}

/** @throws {ConfigError} */
export function readXdsToken(environment: NodeJS.ProcessEnv): string | undefined {
  const env = new Env(environment)
  const token = xdsToken(env)
  env.throwFaults()
  return token
}

/** For the table in docs/guides/cli.md, which a test compares. */
export function settingsDescriptions(): readonly VariableDescription[] {
  const env = new Env({})
  for (const read of [adminUrl, adminToken, contextName, publicUrl, apiKey, xdsToken, yes, retries]) read(env)
  return env.descriptions
}

const DEFAULT_URL = 'http://127.0.0.1:8081'
const DEFAULT_PUBLIC_URL = 'http://127.0.0.1:8080'

const adminUrl = (env: Env) =>
  env.optional('MINTMARK_URL', {
    fallback: `\`${DEFAULT_URL}\``,
    description: 'base URL of the admin listener',
    parse: baseUrl,
  })

/** The second name is the older one. */
const adminToken = (env: Env): { value: string; from: string } | undefined => {
  const token = env.optional('MINTMARK_ADMIN_TOKEN', {
    description: 'an admin token, or the root token',
    parse: credential,
  })
  const older = env.optional('MINTMARK_TOKEN', {
    description: 'the same, if `MINTMARK_ADMIN_TOKEN` is unset',
    parse: credential,
  })
  if (token !== undefined) return { value: token, from: 'MINTMARK_ADMIN_TOKEN' }
  return older === undefined ? undefined : { value: older, from: 'MINTMARK_TOKEN' }
}

const contextName = (env: Env) =>
  env.optional('MINTMARK_CONTEXT', {
    fallback: 'the one of `context use`',
    description: 'the context to use instead of the current one',
    parse: text => text,
  })

const publicUrl = (env: Env) =>
  env.optional('MINTMARK_PUBLIC_URL', {
    fallback: `\`${DEFAULT_PUBLIC_URL}\``,
    description: 'base URL of the public listener, for `token get`',
    parse: baseUrl,
  })

const apiKey = (env: Env) =>
  env.optional('MINTMARK_API_KEY', {
    fallback: 'standard input',
    description: 'the API key, for `token get`',
    parse: credential,
  })

const yes = (env: Env): boolean =>
  env.optional('MINTMARK_YES', {
    description: '`1`: the same as `--yes`, for scripts that older versions run too',
    parse: text => {
      if (text !== '1') throw new Error('must be 1, or unset')
      return true
    },
  }) ?? false

const retries = (env: Env): number =>
  env.integer('MINTMARK_RETRY_SECONDS', {
    default: 60,
    min: 0,
    max: 600,
    description: 'for how long a request is sent again while the service is unavailable; 0: not at all',
  })

const xdsToken = (env: Env) =>
  env.optional('MINTMARK_XDS_TOKEN', {
    fallback: 'none',
    description: 'one of `MINTMARK_XDS_TOKENS`, without its name, for `sync --revocations`',
    parse: credential,
  })

export function baseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) throw new Error('must be a URL like http://127.0.0.1:8081')
  if (url.username || url.password) throw new Error('must not contain a user or password')
  if (url.search || url.hash) throw new Error('must be a base URL, without "?" and "#"')
  return url.href.replace(/\/+$/, '')
}

/** Rejects what a header cannot contain. The text is not shown: it is a secret. */
export function credential(text: string): string {
  const trimmed = text.trim()
  if (!/^[\x21-\x7e]+$/.test(trimmed)) throw new Error('must be one word of printable ASCII')
  return trimmed
}
