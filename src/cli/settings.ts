import { existsSync } from 'node:fs'
import { Env, type VariableDescription } from '../config/env.ts'
import { CliError, EXIT } from './exit-codes.ts'

/** The variables of the commands that talk to a running service. `serve` and `migrate` have their own (config.ts). */

export interface AdminSettings {
  url: string
  token: string
}

/** The root token file of a trial, relative to its folder. */
const TRIAL_TOKEN = 'keys/root-token'

/** @throws {ConfigError} @throws {CliError} when there is no token. */
export function readAdminSettings(environment: NodeJS.ProcessEnv): AdminSettings {
  const env = new Env(environment)
  const url = adminUrl(env)
  const token = adminToken(env)
  env.throwFaults()
  if (token !== undefined) return { url, token }
  const trial = existsSync(TRIAL_TOKEN)
    ? [
        `To use the token of the quickstart in this directory: export MINTMARK_ADMIN_TOKEN_FILE=${TRIAL_TOKEN}`,
      ]
    : []
  throw new CliError(
    EXIT.refused,
    'no admin token: set MINTMARK_ADMIN_TOKEN, or MINTMARK_ADMIN_TOKEN_FILE to a file with it.',
    trial,
  )
}

/** @throws {ConfigError} */
export function readPublicUrl(environment: NodeJS.ProcessEnv): string {
  const env = new Env(environment)
  const url = publicUrl(env)
  env.throwFaults()
  return url
}

/** @throws {ConfigError} */
export function readApiKey(environment: NodeJS.ProcessEnv): string | undefined {
  const env = new Env(environment)
  const key = apiKey(env)
  env.throwFaults()
  return key
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
  for (const read of [adminUrl, adminToken, publicUrl, apiKey, xdsToken]) read(env)
  return env.descriptions
}

const adminUrl = (env: Env) =>
  env.text('MINTMARK_URL', {
    default: 'http://127.0.0.1:8081',
    description: 'base URL of the admin listener',
    parse: baseUrl,
  })

/** The second name is the older one. */
const adminToken = (env: Env): string | undefined => {
  const token = env.optional('MINTMARK_ADMIN_TOKEN', {
    description: 'an admin token, or the root token',
    parse: credential,
  })
  const older = env.optional('MINTMARK_TOKEN', {
    description: 'the same, if `MINTMARK_ADMIN_TOKEN` is unset',
    parse: credential,
  })
  return token ?? older
}

const publicUrl = (env: Env) =>
  env.text('MINTMARK_PUBLIC_URL', {
    default: 'http://127.0.0.1:8080',
    description: 'base URL of the public listener, for `token get`',
    parse: baseUrl,
  })

const apiKey = (env: Env) =>
  env.optional('MINTMARK_API_KEY', {
    fallback: 'standard input',
    description: 'the API key, for `token get`',
    parse: credential,
  })

const xdsToken = (env: Env) =>
  env.optional('MINTMARK_XDS_TOKEN', {
    fallback: 'none',
    description: 'one of `MINTMARK_XDS_TOKENS`, without its name, for `sync --revocations`',
    parse: credential,
  })

function baseUrl(text: string): string {
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
