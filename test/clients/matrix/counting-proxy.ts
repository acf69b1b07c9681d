import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'

/** One HTTP request of a client, as it was seen on the way. */
export interface Attempt {
  /** 0: the connection was closed without a response. */
  status: number
  /** From the request line to the status line. */
  ms: number
}

/** Passes the bytes of one client to a gateway unchanged, and counts its requests and their statuses. */
export interface CountingProxy {
  url: string
  attempts(): Attempt[]
  stop(): Promise<void>
}

const REQUEST_LINE = /(?:^|\r\n)(?:GET|POST) \/v1\/\S* HTTP\/1\.1\r\n/
/** Of a final response: 100 Continue is none. */
const STATUS_LINE = /(?:^|\r\n)HTTP\/1\.1 ([2-5]\d\d) /

export async function startCountingProxy(gatewayUrl: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(gatewayUrl)
  const attempts: Attempt[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, client => {
    const gateway = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    let current: { attempt: Attempt; began: number } | undefined
    client.on('data', chunk => {
      if (!REQUEST_LINE.test(chunk.toString('latin1'))) return
      current = { attempt: { status: 0, ms: 0 }, began: performance.now() }
      attempts.push(current.attempt)
    })
    gateway.on('data', chunk => {
      const [, status] = STATUS_LINE.exec(chunk.toString('latin1')) ?? []
      if (!status || !current || current.attempt.status !== 0) return
      Object.assign(current.attempt, { status: Number(status), ms: performance.now() - current.began })
    })
    client.pipe(gateway).pipe(client)
    for (const [socket, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      sockets.add(socket)
      // As the other side would see it without a proxy in between.
      socket.on('error', () => other.resetAndDestroy()).on('close', () => sockets.delete(socket))
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    attempts: () => [...attempts],
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
