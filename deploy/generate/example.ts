/** The values of the examples in deploy/. Operators replace them. */
export const ISSUER = 'https://tokens.example.com'
export const AUDIENCE = 'vllm'
/** Web pages of these origins may call the gateway (CORS). */
export const ORIGINS: readonly string[] = ['https://chat.example.com']
