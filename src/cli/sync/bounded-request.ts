import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'

/** Of a whole exchange: connecting, the headers and the body. */
const TIMEOUT_MS = 10_000

export interface BoundedRequest {
  method: string
  url: URL
  headers?: Record<string, string>
  body?: string
  /** Certificates: for https only. */
  tls?: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>
  mostBytes: number
  signal?: AbortSignal | undefined
}

export interface BoundedAnswer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

/**
 * One request on a connection of its own, bounded in time and in the size of the answer. Redirects are not followed:
 * they would send the credential elsewhere.
 * @throws {Error} with a message that completes "<server> …"
 */
export async function boundedRequest(options: BoundedRequest): Promise<BoundedAnswer> {
  const { url, method, headers, body, tls, mostBytes, signal } = options
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(new Error(timeout.aborted ? late : explained(error)))
    const sent = send(
      url,
      {
        ...tls,
        method,
        agent: false,
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        headers: { ...headers, ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) },
      },
      answer => {
        const chunks: Buffer[] = []
        let bytes = 0
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes <= mostBytes) chunks.push(chunk)
          else answer.destroy(new Error(`answers with more than ${mostBytes} bytes`))
        })
        answer.on('error', fail)
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        )
      },
    )
    sent.on('error', fail)
    sent.end(body)
  })
}

const late = `does not answer within ${TIMEOUT_MS / 1_000} seconds`

function explained(error: Error & { code?: string }): string {
  const { code, message } = error
  if (code === undefined) return message
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `has no address (${code})`
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/.test(code))
    return `has a certificate that is not accepted (${code})`
  if (/SSL|EPROTO|HPE_/.test(code)) return `does not speak the expected protocol (${code})`
  return `is not reachable (${code})`
}
