import { createHash, generateKeyPairSync } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

// biome-ignore lint/suspicious/noExplicitAny: each kind of object has its own shape
type Json = any

export interface Answer {
  status: number
  headers?: Record<string, string>
  body: unknown
}

export interface Recorded {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: Json
}

/** A server that records requests, and answers them as `answer` says; text is sent as it is. Lost: the connection is closed. */
export async function recordingServer(answer: (request: Recorded) => Answer | 'lost') {
  const requests: Recorded[] = []
  const server: Server = createServer(async (req: IncomingMessage, res: ServerResponse) => {
    let text = ''
    for await (const chunk of req) text += chunk
    const request = {
      method: req.method ?? '',
      url: req.url ?? '',
      headers: req.headers,
      body: text ? JSON.parse(text) : undefined,
    }
    requests.push(request)
    const given = answer(request)
    if (given === 'lost') return void res.destroy()
    res.writeHead(given.status, { 'content-type': 'application/json', ...given.headers })
    res.end(typeof given.body === 'string' ? given.body : JSON.stringify(given.body))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const stop = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { url, requests, stop }
}

export type RecordingServer = Awaited<ReturnType<typeof recordingServer>>

/** What the API server says of a failure. */
export const status = (code: number, reason: string, message: string, details?: object): Answer => ({
  status: code,
  body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code, details },
})

/** The objects of an API server, by path: enough to get, create, update and apply them. */
export class Objects {
  readonly byPath = new Map<string, Json>()
  #version = 0

  answer({ method, url, headers, body }: Recorded): Answer {
    const path = url.replace(/\?.*/, '')
    const key = method === 'POST' ? `${path}/${body.metadata.name}` : path
    const found = this.byPath.get(key)
    if (method === 'GET') return found ? { status: 200, body: found } : status(404, 'NotFound', 'not found')
    if (body.metadata.resourceVersion !== found?.metadata.resourceVersion)
      return status(409, 'Conflict', 'the object has been modified')
    const metadata = { ...found?.metadata, ...body.metadata, resourceVersion: String(++this.#version) }
    const isMerge = headers['content-type'] === 'application/merge-patch+json'
    const annotations = { ...(isMerge && found?.metadata.annotations), ...body.metadata.annotations }
    this.byPath.set(key, { ...(isMerge && found), ...body, metadata: { ...metadata, annotations } })
    return { status: found ? 200 : 201, body: this.byPath.get(key) }
  }
}

export interface Key extends Record<string, unknown> {
  kid: string
}

/** A public signing key as Mintmark publishes them. */
export function signingKey(): Key {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
  const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
  return { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' } as unknown as Key
}
