import { TokenError } from './token-error.ts'

/** `POST /oauth/token` (RFC 6749 §4.4, RFC 8693 §2.1): one request, and the meaning of each response. */

export interface Token {
  value: string
  lifetimeMs: number
}

type Credential = string | (() => string | Promise<string>)

interface ExchangeOptions {
  issuer: string
  apiKey?: Credential
  identityToken?: Credential
  audience?: string
  scope?: string
  fetch: typeof fetch
}

const ATTEMPT_MS = 10_000

/** What is exchanged. */
interface Kind {
  noun: string
  option: string
  unreadable: string
  required: string
  form: (credential: string) => URLSearchParams
}

const API_KEY: Kind = {
  noun: 'API key',
  option: 'apiKey',
  unreadable: 'api_key_unreadable',
  required: 'apiKey must be a Mintmark API key ("mmk_…"), or a function that returns one',
  form: key => new URLSearchParams({ grant_type: 'client_credentials', client_secret: key }),
}
const IDENTITY_TOKEN: Kind = {
  noun: 'identity token',
  option: 'identityToken',
  unreadable: 'identity_token_unreadable',
  required: 'identityToken must be a token of an identity provider (a JWT), or a function that returns one',
  form: token =>
    new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: token,
    }),
}

/** A function that sends one request. It throws only {TokenError}. @throws {TypeError} for an invalid issuer or key. */
export function exchanger(options: ExchangeOptions): () => Promise<Token> {
  const base = baseUrl(options.issuer)
  const { apiKey, identityToken } = options
  if (apiKey !== undefined && identityToken !== undefined)
    throw new TypeError('apiKey and identityToken are both set: give only one')
  const kind = identityToken === undefined ? API_KEY : IDENTITY_TOKEN
  const credential = identityToken ?? apiKey
  if (typeof credential !== 'function' && !trimmed(credential)) throw new TypeError(kind.required)
  return async () => {
    const key = await readCredential(kind, credential)
    const body = kind.form(key)
    if (options.audience !== undefined) body.set('audience', options.audience)
    if (options.scope !== undefined) body.set('scope', options.scope)
    const { response, answer } = await post(options.fetch, base, body, key)
    return tokenIn(answer) ?? fail(base, response, answer, key, kind)
  }
}

/** The token endpoint is always where the issuer's metadata (RFC 8414) has it, so no discovery is needed. */
async function post(send: typeof fetch, base: string, body: URLSearchParams, key: string) {
  try {
    const response = await send(`${base}/oauth/token`, {
      method: 'POST',
      headers: { accept: 'application/json' },
      body,
      // Following a redirect would send the key to another server.
      redirect: 'manual',
      signal: AbortSignal.timeout(ATTEMPT_MS),
    })
    return { response, answer: parsed(await response.text()) }
  } catch (cause) {
    const text = `The token service at ${base} cannot be reached (${reason(cause)}).`
    throw new TokenError(without(key, text), { code: 'unavailable', temporary: true, cause })
  }
}

function tokenIn(answer: Record<string, unknown>): Token | undefined {
  const { access_token: value, token_type: type, expires_in: seconds } = answer
  const isToken = typeof value === 'string' && value !== '' && String(type).toLowerCase() === 'bearer'
  return isToken && typeof seconds === 'number' && seconds > 0
    ? { value, lifetimeMs: seconds * 1000 }
    : undefined
}

const ADVICE: Record<string, string> = {
  invalid_client: ' It is mistyped, expired or revoked: ask for a new one.',
}

function fail(
  base: string,
  response: Response,
  answer: Record<string, unknown>,
  key: string,
  kind: Kind,
): never {
  const { status } = response
  const { error: code, error_description: description } = answer
  const said = typeof description === 'string' ? description : 'No reason given.'
  if (status >= 500 || status === 429) {
    const text = `The token service at ${base} is not available (${status}): ${said}`
    const retryAfterMs = waitOf(response.headers.get('retry-after'))
    throw new TokenError(without(key, text), { code: 'unavailable', temporary: true, retryAfterMs })
  }
  if (status < 400 || typeof code !== 'string') {
    throw new TokenError(
      `What answers at ${base}/oauth/token (${status}) is not Mintmark's token endpoint. Check the issuer.`,
      { code: 'unexpected_answer' },
    )
  }
  const text = `The token service at ${base} refuses the ${kind.noun} (${code}): ${said}${ADVICE[code] ?? ''}`
  throw new TokenError(without(key, text), { code: without(key, code) })
}

/** A response may echo the request. */
const without = (key: string, text: string): string => text.replaceAll(key, '[redacted]')

/** RFC 9110 §10.2.3: seconds or a date. */
function waitOf(header: string | null): number | undefined {
  if (header === null) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0)
}

async function readCredential(
  { noun, option, unreadable: code }: Kind,
  credential: Credential | undefined,
): Promise<string> {
  if (typeof credential !== 'function') return trimmed(credential)
  try {
    const text = trimmed(await credential())
    if (text) return text
  } catch (cause) {
    throw new TokenError(`The ${noun} cannot be read: ${option}() failed.`, { code, cause })
  }
  throw new TokenError(`The ${noun} cannot be read: ${option}() returned nothing.`, { code })
}

function baseUrl(issuer: string): string {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new TypeError(
      'issuer must be the base URL of Mintmark, like https://tokens.example.com, and nothing more',
    )
  }
  return url.href.replace(/\/+$/, '')
}

/** A key from a file ends with a newline. */
const trimmed = (key: unknown): string => (typeof key === 'string' ? key.trim() : '')

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** The system's error code (`ECONNREFUSED`) where the runtime provides it. */
function reason(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } }
  if (name === 'TimeoutError') return `no answer within ${ATTEMPT_MS / 1000} seconds`
  return cause?.code ?? cause?.message ?? message
}
