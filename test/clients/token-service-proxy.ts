import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface Canned {
  status: number
  headers?: Record<string, string>
  body?: string
}

/** A proxy for a real Mintmark: counts the exchanges, and can replace responses as a bad network or server would. */
export interface TokenServiceProxy {
  /** The issuer URL for clients. */
  url: string
  /** Number of token requests. */
  exchanges(): number
  /** The next requests get these responses, later ones are forwarded to Mintmark. */
  answerNext(...answers: Canned[]): void
  /** Holds all requests until the returned function is called. */
  hold(): () => void
  stop(): Promise<void>
}

/** Mintmark's response when it is unavailable (src/oauth/oauth-error.ts). */
export const notNow = (retryAfterSeconds?: number | string): Canned => ({
  status: 503,
  headers: {
    'content-type': 'application/json',
    ...(retryAfterSeconds !== undefined && { 'retry-after': `${retryAfterSeconds}` }),
  },
  body: '{"error":"temporarily_unavailable","error_description":"The token service is temporarily unavailable. Retry."}',
})

export async function startTokenServiceProxy(publicUrl: string): Promise<TokenServiceProxy> {
  let exchanges = 0
  let held = Promise.resolve()
  const canned: Canned[] = []
  const server = createServer(async (req, res) => {
    exchanges += 1
    const answer = canned.shift()
    await held
    if (answer) res.writeHead(answer.status, answer.headers).end(answer.body)
    else await forward(publicUrl, req, res)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exchanges: () => exchanges,
    answerNext: (...answers) => void canned.push(...answers),
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      held = promise
      return resolve
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function forward(publicUrl: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const body = Buffer.concat(await req.toArray())
  const contentType = req.headers['content-type'] ?? ''
  const answer = await fetch(`${publicUrl}${req.url}`, {
    method: req.method ?? 'POST',
    headers: { 'content-type': contentType, connection: 'close' },
    body,
  })
  res.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
  res.end(await answer.text())
}
