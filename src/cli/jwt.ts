import { CliError, EXIT } from './exit-codes.ts'

type Json = Record<string, unknown>

/** The token inside a header's value or a response of the token endpoint. */
export function tokenIn(input: string): string {
  const text = input.startsWith('{') ? parsedJson(input)?.access_token : input.replace(/^Bearer +/i, '')
  return typeof text === 'string' ? text : ''
}

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
