import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a proxy does with one request. */
type Treatment =
  | 'forward'
  /** It answers with this status itself, as a proxy does whose upstream is down. */
  | { before: number; retryAfter?: string }
  /** The service carries it out, and the client gets this status instead of the answer. */
  | { after: number; retryAfter?: string }
  /** The connection ends before or after the service carries it out. */
  | 'cut before'
  | 'cut after'

interface Seen {
  /** The number of the request, and of the change. */
  request: number
  change: number
  method: string
  path: string
}

/** An HTTP proxy before the admin listener that treats requests as `each` says. */
export interface FaultyProxy {
  url: string
  each: (seen: Seen) => Treatment
  /** Called with the status of each answer of the service. */
  answered: (status: number) => void | Promise<void>
  requests: number
  changes: number
  close(): void
}

const HOP_BY_HOP = new Set([
  'connection',
  'transfer-encoding',
  'content-length',
  'keep-alive',
  'host',
  'date',
])

export async function startFaultyProxy(target: () => string): Promise<FaultyProxy> {
  const server: Server = createServer((req, res) => void relay(req, res))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const self: FaultyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    each: () => 'forward',
    answered: () => {},
    requests: 0,
    changes: 0,
    close: () => void server.close(),
  }
  return self

  async function relay(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of req) body += chunk
    const { method = 'GET', url = '/' } = req
    const isChange = method !== 'GET' && !url.includes('dry_run')
    if (isChange) self.changes++
    const how = self.each({
      request: ++self.requests,
      change: isChange ? self.changes : 0,
      method,
      path: url,
    })
    if (how === 'cut before') return void res.destroy()
    if (typeof how === 'object' && 'before' in how) return refuse(res, how.before, how.retryAfter)
    const headers = Object.fromEntries(
      Object.entries(req.headers).flatMap(([name, value]) =>
        typeof value === 'string' && !HOP_BY_HOP.has(name) ? [[name, value]] : [],
      ),
    )
    const answer = await fetch(target() + url, { method, headers, ...(body && { body }) })
    const content = Buffer.from(await answer.arrayBuffer())
    await self.answered(answer.status)
    if (how === 'cut after') return void res.destroy()
    if (typeof how === 'object') return refuse(res, how.after, how.retryAfter)
    const kept = [...answer.headers].filter(([name]) => !HOP_BY_HOP.has(name))
    res.writeHead(answer.status, Object.fromEntries(kept)).end(content)
  }
}

function refuse(res: ServerResponse, status: number, retryAfter?: string): void {
  res
    .writeHead(status, { 'content-type': 'text/html', ...(retryAfter && { 'retry-after': retryAfter }) })
    .end('<html><body>upstream connect error</body></html>')
}
