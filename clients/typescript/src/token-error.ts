/** Why there is no token. It contains neither the key nor a token. */
export class TokenError extends Error {
  override readonly name = 'TokenError'
  /**
   * The service's error code (RFC 6749 §5.2), or `unavailable`, `unexpected_answer`, `api_key_unreadable` or
   * `identity_token_unreadable`.
   */
  readonly code: string
  /** True: the same call may succeed later. False: a person must change something. */
  readonly temporary: boolean
  /** The delay that the service requested. */
  readonly retryAfterMs: number | undefined

  constructor(
    message: string,
    details: ErrorOptions & { code: string; temporary?: boolean; retryAfterMs?: number | undefined },
  ) {
    super(message, details)
    this.code = details.code
    this.temporary = details.temporary ?? false
    this.retryAfterMs = details.retryAfterMs
  }
}
