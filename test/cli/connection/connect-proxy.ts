import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

/** A forward proxy as companies have one: CONNECT for https, absolute URLs for http (RFC 9110 section 9.3.6). */
export interface ConnectProxy {
  url: string
  /** What it was asked for: `CONNECT host:port`, or `GET http://…`. */
  asked: string[]
  /** The ports on this machine that the hosts of the company are on. */
  hosts: Map<string, number>
  /** `user:password` that it demands. */
  password: string | undefined
  /** Answers with this status instead of a connection. */
  refusal: number | undefined
  close(): void
}

export async function startConnectProxy(): Promise<ConnectProxy> {
  const server: Server = createServer((req, res) => {
    const status = refusalOf(req, req.url ?? '')
    const to = URL.parse(req.url ?? '')
    const port = to && self.hosts.get(to.hostname)
    if (status !== undefined || !to || port === undefined) return void res.writeHead(status ?? 502).end()
    const options = {
      host: '127.0.0.1',
      port,
      method: req.method,
      path: to.pathname + to.search,
      headers: req.headers,
    }
    req.pipe(
      request(options, answer => {
        res.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(res)
      }),
    )
  })
  server.on('connect', (req: IncomingMessage, client: Socket) => {
    client.on('error', () => {})
    const [host = ''] = (req.url ?? '').split(':')
    const status = refusalOf(req, req.url ?? '')
    const port = self.hosts.get(host)
    if (status !== undefined || port === undefined)
      return void client.end(`HTTP/1.1 ${status ?? 502} Refused\r\nContent-Length: 0\r\n\r\n`)
    const upstream = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.pipe(upstream).pipe(client)
    })
    upstream.on('error', () => client.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const self: ConnectProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    hosts: new Map(),
    password: undefined,
    refusal: undefined,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
  return self

  function refusalOf(req: IncomingMessage, target: string): number | undefined {
    self.asked.push(`${req.method} ${target}`)
    const given = req.headers['proxy-authorization']
    const wanted = self.password && `Basic ${Buffer.from(self.password).toString('base64')}`
    return wanted && given !== wanted ? 407 : self.refusal
  }
}
