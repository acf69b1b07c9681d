/** The values of the examples in deploy/. Operators replace them. */
export const ISSUER = 'https://tokens.example.com'
export const AUDIENCE = 'vllm'

/**
 * What an HTTP/2 client of Envoy may send of a body before Envoy has read it. Envoy holds it for each stream whose credential
 * is being checked, and a body takes a round trip for each.
 */
export const STREAM_WINDOW_BYTES = 262_144

/**
 * How long a gateway waits for Mintmark's answer about a credential. A burst of hundreds of checks on a busy machine has taken two
 * seconds, and a connection whose first packet is lost takes one more. Then 503.
 */
export const CHECK_SECONDS = 5

/** Web pages of these origins may call the gateway (CORS). */
export const ORIGINS: readonly string[] = ['https://chat.example.com']
