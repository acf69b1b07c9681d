/** Why there is no token. Neither the key nor a token is in it. */
export class TokenError extends Error {
  override readonly name = 'TokenError'
  /** What the service said (RFC 6749 §5.2); else `unavailable`, `unexpected_answer` or `api_key_unreadable`. */
  readonly code: string
  /** It passes by itself: the same call may succeed later. Otherwise somebody must change something. */
  readonly temporary: boolean
  /** How long the service asked to be left alone. */
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
