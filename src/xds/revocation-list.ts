import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { RevocationSource } from './discovery-stream.ts'

/** The list as JSON, for what keeps it in another form: `mintmark sync`. */
export const LIST_PATH = '/revocations'

/** The JSON of the list. */
export interface RevocationList {
  /** As in the discovery protocol: the instant, in epoch milliseconds, until which the list has everything. */
  version: string
  revocations: RevokedValue[]
}

interface RevokedValue {
  claim: string
  value: string
  /** Whose tokens; null: not known. */
  tenant: string | null
  ends_at: number
}

/** `source`: undefined while this process starts. */
export function answerList(
  stream: ServerHttp2Stream,
  { ':method': method }: IncomingHttpHeaders,
  source: RevocationSource | 'unauthenticated' | undefined,
): void {
  const { status, body, headers } = answerOf(method, source)
  stream.resume()
  const fixed = { 'content-type': 'application/json', 'cache-control': 'no-store' }
  stream.respond({ ':status': status, ...fixed, ...headers })
  stream.end(method === 'HEAD' ? undefined : JSON.stringify(body))
}

interface Answer {
  status: number
  body: RevocationList | { error: string }
  headers?: OutgoingHttpHeaders
}

function answerOf(method: string | undefined, source: Parameters<typeof answerList>[2]): Answer {
  if (source === 'unauthenticated') {
    const headers = { 'www-authenticate': 'Bearer realm="mintmark"' }
    return { status: 401, body: { error: 'Missing or invalid token.' }, headers }
  }
  if (method !== 'GET' && method !== 'HEAD')
    return { status: 405, body: { error: 'Use GET.' }, headers: { allow: 'GET, HEAD' } }
  // As gateways are sent nothing before everything was read.
  const seenUntil = source?.seenUntil
  if (source === undefined || seenUntil === undefined) {
    const error = 'The list is not complete on this replica. Retry.'
    return { status: 503, body: { error }, headers: { 'retry-after': '1' } }
  }
  const revocations = source.entries.map(({ claim, value, tenantId: tenant = null, endsAt }) => ({
    claim,
    value,
    tenant,
    ends_at: endsAt,
  }))
  return { status: 200, body: { version: String(Math.floor(seenUntil)), revocations } }
}
