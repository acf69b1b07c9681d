import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SlowEngine {
  port: number
  /** A whole request has arrived. */
  begun(): boolean
  /** The connection of a request was closed before its response. */
  aborted(): boolean
  stop(): Promise<void>
}

/** An engine that never answers. */
export async function startSlowEngine(): Promise<SlowEngine> {
  let begun = false
  let aborted = false
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      begun = true
    })
    response.once('close', () => {
      aborted = true
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    begun: () => begun,
    aborted: () => aborted,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
