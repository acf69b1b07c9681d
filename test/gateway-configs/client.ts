import { request } from 'node:http'

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

export interface Sent {
  method?: string
  path?: string
  token?: string | undefined
  /** In order, as spelled, repeats included. */
  headers?: [name: string, value: string][]
  body?: string | Buffer
  contentType?: string | null
  /** Of the client; on Linux all of 127.0.0.0/8 are its own. */
  localAddress?: string
  /** Is given the body's pieces as they arrive. */
  onPiece?: (piece: Buffer) => void
}

/** One HTTP/1.1 request with its path and its headers exactly as given: no URL is normalized on the way. */
export function send(baseUrl: string, sent: Sent = {}): Promise<Answer> {
  const { hostname, port } = new URL(baseUrl)
  const {
    method = 'POST',
    path = '/v1/chat/completions',
    token,
    headers = [],
    contentType = 'application/json',
  } = sent
  const body = Buffer.from(sent.body ?? (method === 'POST' ? chat('llama-3-8b') : ''))
  const all: [string, string][] = [
    ['Host', 'inference.example.com'],
    ['Content-Length', String(body.length)],
  ]
  if (body.length > 0 && contentType !== null) all.push(['Content-Type', contentType])
  if (token !== undefined) all.push(['Authorization', `Bearer ${token}`])
  all.push(...headers)
  return new Promise((resolve, reject) => {
    let answered = false
    const { localAddress } = sent
    const options = { hostname, port, method, path, headers: all.flat(), agent: false, localAddress }
    const outgoing = request(options, async incoming => {
      answered = true
      if (sent.onPiece) incoming.on('data', sent.onPiece)
      const chunks = await incoming.toArray().catch(reject)
      const text = Buffer.concat(chunks ?? []).toString('utf8')
      resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text })
    })
    // Rejected while the body was still being sent: the response counts, not the broken pipe.
    outgoing.on('error', error => answered || reject(error))
    outgoing.end(body)
  })
}

/** A chat request, as JSON text. */
export const chat = (model: string, more: object = {}): string =>
  JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], ...more })
