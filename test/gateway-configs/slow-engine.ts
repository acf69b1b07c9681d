import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SlowEngine {
  port: number
  /** A whole request has arrived. */
  begun(): boolean
  /** Requests that have arrived and have not ended. */
  running(): number
  /** When the last whole request of the tenant arrived (`performance.now()`). */
  arrival(tenant: string): number | undefined
  /** The connection of a request was closed before its response. */
  aborted(): boolean
  stop(): Promise<void>
}

/** An engine that never answers, and of a stream gives only the first event. */
export async function startSlowEngine(): Promise<SlowEngine> {
  let begun = 0
  let ended = 0
  const arrivals = new Map<string, number>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request
      .on('data', chunk => chunks.push(chunk))
      .once('end', () => {
        begun++
        arrivals.set(String(request.headers['x-tenant-id']), performance.now())
        if (!Buffer.concat(chunks).includes('"stream":true')) return
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write('data: {"part":1}\n\n')
      })
    response.once('close', () => {
      ended++
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', 4_096, resolve))
  return {
    port: (server.address() as AddressInfo).port,
    begun: () => begun > 0,
    running: () => begun - ended,
    arrival: tenant => arrivals.get(tenant),
    aborted: () => ended > 0,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
