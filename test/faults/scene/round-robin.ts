import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'

/**
 * A small load balancer, in a process of its own: each request goes to the next backend that was ready when it was
 * last asked, over kept connections, once. Backends are given as messages, `[{ public, ops }, …]`; a request that
 * cannot be passed on is answered 502, and none is sent twice.
 */
interface Backend {
  public: string
  ops: string
  ready: boolean
}

const PROBE_MS = 200
const agent = new Agent({ keepAlive: true, scheduling: 'fifo' })
let backends: Backend[] = []
let turn = 0

process.on('message', (given: Pick<Backend, 'public' | 'ops'>[]) => {
  backends = given.map(each => ({
    ...each,
    ready: backends.find(({ ops }) => ops === each.ops)?.ready ?? true,
  }))
})
process.once('disconnect', () => process.exit())
setInterval(() => {
  for (const backend of backends) probe(backend)
}, PROBE_MS)

const server = createServer(pass).listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.(typeof address === 'object' ? address?.port : 0)
})

function probe(backend: Backend): void {
  const asked = request(`${backend.ops}/readyz`, { timeout: 1_000 }, answer => {
    backend.ready = answer.statusCode === 200
    answer.resume()
  })
  const gone = () => {
    backend.ready = false
  }
  asked
    .once('timeout', () => asked.destroy())
    .once('error', gone)
    .end()
}

function pass(from: IncomingMessage, to: ServerResponse): void {
  const ready = backends.filter(backend => backend.ready)
  const backend = ready[turn++ % ready.length]
  if (!backend) return void to.writeHead(502).end()
  const { method = 'GET', url = '/' } = from
  const { connection, ...headers } = from.headers
  const onward = request(`${backend.public}${url}`, { method, headers, agent }, answer => {
    const { connection, ...rest } = answer.headers
    to.writeHead(answer.statusCode ?? 502, rest)
    answer.pipe(to)
  })
  onward.once('error', () => to.headersSent || to.writeHead(502).end())
  from.pipe(onward)
}
