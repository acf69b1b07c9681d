import { exchanger } from './token-exchange.ts'
import { type Clock, systemClock, TokenKeeper } from './token-keeper.ts'

export { TokenError } from './token-error.ts'

/**
 * Exchanges a Mintmark API key for tokens, and always has a fresh one at hand: for OpenAI clients, and for fetch.
 * Nothing but fetch and timers is asked of the runtime. token-keeper.ts decides when to ask, token-exchange.ts asks.
 */

export interface TokenProviderOptions {
  /** Base URL of Mintmark's public listener, as in the tokens' `iss`: `https://tokens.example.com`. */
  issuer: string
  /** `mmk_…`, or a function that reads it at each exchange, for a key that is rotated in a file. */
  apiKey: string | (() => string | Promise<string>)
  /** Ask for this audience; without it the key's default. */
  audience?: string
  /** Ask for these scopes, space-delimited; without it all that the key has. */
  scope?: string
  /** How long a call without a usable token goes on asking a service that is not available: 30, 0 = ask once. */
  retryForSeconds?: number
  /** In place of the global fetch, for a proxy or a certificate authority of your own. */
  fetch?: typeof fetch
  /** For tests. */
  clock?: Clock
}

export interface TokenProvider {
  /**
   * A token with at least a twentieth of its life before it. From 60 % of its life on the next one is fetched beside;
   * only a call that finds none waits. @throws {TokenError} when there is none to be had; the signal's reason.
   */
  (call?: { signal?: AbortSignal }): Promise<string>
  /** `fetch` with the token in `Authorization`, in place of what the request has there. Only for the gateway's URLs. */
  fetch: typeof fetch
}

/** `new OpenAI({ apiKey: tokenProvider({ issuer, apiKey }), baseURL })`. @throws {TypeError} for options that cannot work. */
export function tokenProvider(options: TokenProviderOptions): TokenProvider {
  const send = options.fetch ?? ((...request) => fetch(...request))
  const keeper = new TokenKeeper({
    exchange: exchanger({ ...options, fetch: send }),
    retryForMs: (options.retryForSeconds ?? 30) * 1000,
    clock: options.clock ?? systemClock,
  })
  const authorizedFetch: typeof fetch = async (input, init) => {
    const request = input instanceof Request ? input : undefined
    const token = await keeper.token(init?.signal ?? request?.signal)
    const headers = new Headers(init?.headers ?? request?.headers)
    headers.set('authorization', `Bearer ${token}`)
    return send(input, { ...init, headers })
  }
  return Object.assign((call?: { signal?: AbortSignal }) => keeper.token(call?.signal), {
    fetch: authorizedFetch,
  })
}
