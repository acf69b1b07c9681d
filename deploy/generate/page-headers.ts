const STAINLESS = 'Arch Helper-Method Lang OS Package-Version Retry-Count Runtime Runtime-Version Timeout'

/** Headers that web pages send, for gateways that list them: those of OpenAI's and Anthropic's clients for browsers. */
export const PAGE_HEADERS: readonly string[] = [
  ...['Authorization', 'Content-Type', 'X-Api-Key', 'Api-Key', 'X-Request-Id'],
  ...['OpenAI-Beta', 'OpenAI-Organization', 'OpenAI-Project'],
  ...['Anthropic-Beta', 'Anthropic-Dangerous-Direct-Browser-Access', 'Anthropic-Version'],
  ...STAINLESS.split(' ').map(name => `X-Stainless-${name}`),
]
