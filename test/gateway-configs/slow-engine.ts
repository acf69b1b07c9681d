import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chat } from './client.ts'

/** How much of an answer the engine gives before it works on for ever: nothing while it works on the prompt. */
export type Given = 'nothing' | 'a part'

export interface SlowEngine {
  port: number
  /** Requests that have arrived and have not ended. */
  running(): number
  /** When the last whole request of the tenant arrived (`performance.now()`). */
  arrival(tenant: string): number | undefined
  /** When the connection of a request was closed before its response had ended (`performance.now()`). */
  abortedAt(): number | undefined
  stop(): Promise<void>
}

/** An engine that ends no answer. */
export async function startSlowEngine(given: Given = 'a part'): Promise<SlowEngine> {
  let begun = 0
  let ended = 0
  let abortedAt: number | undefined
  const arrivals = new Map<string, number>()
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming
      .on('data', chunk => chunks.push(chunk))
      .once('end', () => {
        begun++
        arrivals.set(String(incoming.headers['x-tenant-id']), performance.now())
        if (given === 'nothing') return
        const streamed = Buffer.concat(chunks).includes('"stream":true')
        response.writeHead(200, { 'content-type': streamed ? 'text/event-stream' : 'application/json' })
        response.write(streamed ? 'data: {"part":1}\n\n' : '{"object":"chat.completion",')
      })
    response.once('close', () => {
      ended++
      abortedAt = performance.now()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', 4_096, resolve))
  return {
    port: (server.address() as AddressInfo).port,
    running: () => begun - ended,
    arrival: tenant => arrivals.get(tenant),
    abortedAt: () => abortedAt,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

interface Asked {
  /** The first part of the answer has arrived. */
  begun: Promise<void>
  leave(): void
}

/** A request to the slow engine through a gateway, whose client may leave. */
export function ask(
  baseUrl: string,
  credential: string,
  { stream, localAddress = '127.0.0.1' }: { stream: boolean; localAddress?: string },
): Asked {
  const { hostname, port } = new URL(baseUrl)
  const body = chat('llama-3-8b', stream ? { stream } : {})
  const headers = {
    authorization: `Bearer ${credential}`,
    'content-type': 'application/json',
    'content-length': body.length,
  }
  const path = '/v1/chat/completions'
  const outgoing = request({ hostname, port, localAddress, method: 'POST', path, headers, agent: false })
  const begun = new Promise<void>((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('response', answer => {
      answer.on('error', () => {})
      answer.once('data', () =>
        answer.statusCode === 200 ? resolve() : reject(new Error(`${answer.statusCode}`)),
      )
    })
  })
  // One that leaves before it has begun is not waited for.
  begun.catch(() => {})
  outgoing.on('error', () => {})
  outgoing.end(body)
  return { begun, leave: () => outgoing.destroy() }
}
