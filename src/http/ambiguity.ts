import type { IncomingMessage } from 'node:http'
import { RequestError } from './request-error.ts'

const ONCE = new Set([
  'host',
  'authorization',
  'content-type',
  'content-length',
  'content-encoding',
  'x-api-key',
  'idempotency-key',
  'if-match',
])

/** Node keeps the first of two equal headers, other parsers the last: an ambiguous request is rejected. */
export function ambiguity(req: IncomingMessage): RequestError | undefined {
  if (!req.url?.startsWith('/')) return new RequestError(400, 'Invalid request target. Send a path.')
  // As many names as headers: none is repeated.
  if (req.rawHeaders.length === 2 * Object.keys(req.headers).length) return undefined
  const repeated = repeatedHeader(req.rawHeaders)
  return repeated ? new RequestError(400, `Duplicate header: ${repeated}. Send it once.`) : undefined
}

/** `rawHeaders` alternates names and values. */
function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  const seen: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? ''
    if (!ONCE.has(name)) continue
    if (seen.includes(name)) return name
    seen.push(name)
  }
  return undefined
}
