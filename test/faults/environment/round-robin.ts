import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'

/**
 * A small load balancer in a separate process: each request goes over a kept connection, once, to the next backend that
 * was ready at its last probe, and waits while there is none. Backends are sent as messages, `[{ public, ops }, …]`; a
 * request that cannot be forwarded is answered 502, and none is sent twice. With the argument `resend` one that got no
 * response is sent to another backend, as gateways do with an exchange (Envoy: `retry_on: reset,connect-failure`).
 */
interface Backend {
  public: string
  ops: string
  /** When it last reported that it is ready, in milliseconds; undefined: it is not. */
  readyAt: number | undefined
}

const PROBE_MS = 100
/** Older probes expire: a replica accepts requests for a second after it became unready, and no longer. */
const BELIEVED_MS = 500
/** How often to search for a ready backend while there is none. */
const AGAIN_MS = 20
/** How often a request is sent, at most. */
const ATTEMPTS = process.argv.includes('resend') ? 4 : 1
const agent = new Agent({ keepAlive: true, scheduling: 'fifo' })
let backends: Backend[] = []
let turn = 0

process.on('message', (given: Pick<Backend, 'public' | 'ops'>[]) => {
  backends = given.map(each => ({
    ...each,
    readyAt: backends.find(({ ops }) => ops === each.ops)?.readyAt,
  }))
})
process.once('disconnect', () => process.exit())
setInterval(() => {
  for (const backend of backends) probe(backend)
}, PROBE_MS)

const server = createServer(async (from, to) => {
  const chunks: Buffer[] = []
  for await (const chunk of from) chunks.push(chunk)
  pass(from, Buffer.concat(chunks), to)
}).listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.(typeof address === 'object' ? address?.port : 0)
})

function probe(backend: Backend): void {
  const at = performance.now()
  const asked = request(`${backend.ops}/readyz`, { timeout: 1_000 }, answer => {
    backend.readyAt = answer.statusCode === 200 ? at : undefined
    answer.resume()
  })
  const gone = () => {
    backend.readyAt = undefined
  }
  asked
    .once('timeout', () => asked.destroy())
    .once('error', gone)
    .end()
}

function pass(from: IncomingMessage, body: Buffer, to: ServerResponse, attempt = 1): void {
  const since = performance.now() - BELIEVED_MS
  const ready = backends.filter(({ readyAt }) => readyAt !== undefined && readyAt > since)
  const backend = ready[turn++ % ready.length]
  if (!backend) return void setTimeout(() => pass(from, body, to, attempt), AGAIN_MS)
  const { method = 'GET', url = '/' } = from
  const { connection, ...headers } = from.headers
  const onward = request(`${backend.public}${url}`, { method, headers, agent }, answer => {
    const { connection, ...rest } = answer.headers
    to.writeHead(answer.statusCode ?? 502, rest)
    answer.pipe(to)
  })
  onward
    .once('error', () => {
      if (to.headersSent) return
      if (attempt === ATTEMPTS) return void to.writeHead(502).end()
      backend.readyAt = undefined
      pass(from, body, to, attempt + 1)
    })
    .end(body)
}
