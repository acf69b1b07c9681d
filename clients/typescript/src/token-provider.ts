import { exchanger } from './token-exchange.ts'
import { type Clock, systemClock, TokenKeeper } from './token-keeper.ts'

export { TokenError } from './token-error.ts'

/**
 * Exchanges a Mintmark API key, or a token of an identity provider, for tokens and keeps a fresh one available: for OpenAI's and Anthropic's clients, and for fetch. It needs
 * only fetch and timers of the runtime. token-keeper.ts decides when to request, token-exchange.ts sends the request.
 */

export interface TokenProviderOptions {
  /** Base URL of Mintmark's public listener, as in the tokens' `iss`: `https://tokens.example.com`. */
  issuer: string
  /** `mmk_…`, or a function that is called at each exchange, for a key that is rotated in a file. */
  apiKey?: string | (() => string | Promise<string>)
  /**
   * Instead of an API key: a token of an identity provider, or a function that is called at each exchange, which reads the
   * file of a pod again or requests one from a CI service.
   */
  identityToken?: string | (() => string | Promise<string>)
  /** The audience to request; default: the key's. */
  audience?: string
  /** The scopes to request, space-delimited; default: all scopes of the key. */
  scope?: string
  /** How long a call without a usable token retries while the service is unavailable: default 30, 0 = one attempt. */
  retryForSeconds?: number
  /** Replaces the global fetch, for a proxy or a private certificate authority. */
  fetch?: typeof fetch
  /** For tests. */
  clock?: Clock
}

export interface TokenProvider {
  /**
   * A token with at least a twentieth of its lifetime left. From 60 % of its lifetime on the next one is fetched in the
   * background; a call waits only when there is no usable token. @throws {TokenError} when none can be obtained; the
   * signal's reason.
   */
  (call?: { signal?: AbortSignal }): Promise<string>
  /** `fetch` with the token in `Authorization`, replacing an existing one. Only for the gateway's URLs. */
  fetch: typeof fetch
  /**
   * For `new Anthropic({ credentials: token.credentials, baseURL })`, which calls it for each request, because `expiresAt`
   * is 0, and with `forceRefresh` after a 401: then the next token is a new one.
   */
  credentials(call?: { forceRefresh?: boolean }): Promise<{ token: string; expiresAt: number }>
}

/** `new OpenAI({ apiKey: tokenProvider({ issuer, apiKey }), baseURL })`. @throws {TypeError} for invalid options. */
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
    credentials: async (call?: { forceRefresh?: boolean }) => {
      if (call?.forceRefresh) keeper.drop()
      return { token: await keeper.token(), expiresAt: 0 }
    },
  })
}
