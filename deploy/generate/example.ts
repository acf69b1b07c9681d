/** The values of the examples in deploy/. Operators replace them. */
export const ISSUER = 'https://tokens.example.com'
export const AUDIENCE = 'vllm'
