import { CliError, EXIT } from './exit-codes.ts'

type Json = Record<string, unknown>

/**
 * The token inside a header, a header's value or a response of the token endpoint.
 * @throws {CliError} for text around it, which a client that sends it too would be refused for
 */
export function tokenIn(input: string): string {
  const text = input.startsWith('{')
    ? parsedJson(input)?.access_token
    : input.replace(/^(Authorization: *)?Bearer +/i, '')
  if (typeof text !== 'string') return ''
  const [, fault] = AROUND.find(([pattern]) => pattern.test(text)) ?? []
  if (fault === undefined) return text
  throw new CliError(EXIT.usage, `the input ${fault} Pass the key or token alone. It was not looked at.`)
}

const AROUND: readonly [RegExp, string][] = [
  [/^["'`]|["'`]$/, 'has quotes around it: a client that sends them is refused.'],
  [/\s/, 'has a space or a line break in it.'],
  [/^Bearer%20/i, 'is percent-encoded.'],
  [/^\w+=(mmk_|mma_|sk-|eyJ)/, 'begins with the name of a variable.'],
]

/** RFC 7515 §7.1; nothing is verified. @throws {CliError} */
export function decodeJwt(jwt: string): { header: Json; claims: Json } {
  const parts = jwt.split('.')
  const [header, claims] = parts
    .slice(0, 2)
    .map(part => parsedJson(Buffer.from(part, 'base64url').toString('utf8')))
  if (parts.length === 3 && header && claims) return { header, claims }
  throw new CliError(EXIT.usage, 'the input is not a signed JWT (three parts with dots between).')
}

function parsedJson(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined
  } catch {
    return undefined
  }
}
