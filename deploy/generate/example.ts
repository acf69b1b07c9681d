/** What the examples in deploy/ are set to. Operators put their own in place. */
export const ISSUER = 'https://tokens.example.com'
export const AUDIENCE = 'vllm'
