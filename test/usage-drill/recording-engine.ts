import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What one request asks the engine for, as the content of its message. */
export interface Wish {
  key: string
  prompt: number
  completion: number
  cached: number
  /** A stream stays open after so many tokens, until its client leaves. */
  pausesAfter?: number
  /** The engine refuses it. */
  refused?: boolean
}

/** By hour, tenant, key and model: requests, refused ones, input, cached and output tokens. */
export type Totals = Record<string, readonly number[]>

export interface RecordingEngine {
  port: number
  totals(): Totals
  /** Of all: those that it answered or refused. */
  requests(): number
  stop(): Promise<void>
}

export const nameOf = (hour: number, tenant: string, key: string, model: string): string =>
  `${new Date(hour * 3_600_000).toISOString()} ${tenant} ${key} ${model}`

/** Replaces vLLM with forced usage, and adds up by itself whom it served: the tenant is the one that the gateway names. */
export async function startRecordingEngine(): Promise<RecordingEngine> {
  const totals: Record<string, readonly number[]> = {}
  const add = (name: string, one: readonly number[]) => {
    totals[name] = (totals[name] ?? [0, 0, 0, 0, 0]).map((value, index) => value + (one[index] ?? 0))
  }
  const server = createServer(async (request, response) => {
    const hour = Math.floor(Date.now() / 3_600_000)
    const body = JSON.parse(Buffer.concat(await request.toArray()).toString('utf8'))
    const wish: Wish = JSON.parse(body.messages[0].content)
    const name = nameOf(hour, String(request.headers['x-tenant-id']), wish.key, body.model)
    if (wish.refused) {
      add(name, [0, 1, 0, 0, 0])
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end('{"error":{"message":"refused","code":400}}')
      return
    }
    if (body.stream) stream(response, wish)
    else {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ ...HEAD, choices: [CHOICE], usage: usageOf(wish, wish.completion) }))
    }
    add(name, [1, 0, wish.prompt, wish.cached, wish.pausesAfter ?? wish.completion])
  })
  server.keepAliveTimeout = 60_000
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    totals: () => totals,
    requests: () =>
      Object.values(totals).reduce((sum, [served = 0, refused = 0]) => sum + served + refused, 0),
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

const HEAD = { id: 'id-1', created: 1, model: 'm' }
const CHOICE = { index: 0, message: { role: 'assistant', content: 'so' }, finish_reason: 'stop' }

const usageOf = ({ prompt, cached }: Wish, completion: number) => ({
  prompt_tokens: prompt,
  total_tokens: prompt + completion,
  completion_tokens: completion,
  prompt_tokens_details: { cached_tokens: cached },
})

/** With the usage so far in each event, and the sum in an event of its own, as vLLM does. */
function stream(response: ServerResponse, wish: Wish): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  const write = (data: object) => response.write(`data: ${JSON.stringify({ ...HEAD, ...data })}\n\n`)
  const last = wish.pausesAfter ?? wish.completion
  for (let token = 1; token <= last; token++)
    write({ choices: [{ index: 0, delta: { content: 'so' } }], usage: usageOf(wish, token) })
  if (wish.pausesAfter !== undefined) return
  write({ choices: [], usage: usageOf(wish, wish.completion) })
  response.end('data: [DONE]\n\n')
}
