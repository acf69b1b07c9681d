import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request that reached the engine. */
interface EngineRequest {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: string
}

/** Answers chats and messages as vLLM does, in whole and as streams, and refuses when the question says so. */
export interface TalkingEngine {
  port: number
  requests: EngineRequest[]
  /** Connections to it are refused until `start`. */
  stop(): Promise<void>
  start(): Promise<void>
}

/** The answer to every question. */
export const ANSWER = 'Hello from the engine'
/** A question that gets this status, with `Retry-After: 1`, each time or only the first time that it is asked with these words. */
export const questionFor = (status: 429 | 503, times: 'always' | 'once' = 'always'): string =>
  `answer ${status} ${times}`

const REFUSALS: Readonly<Record<string, { message: string; type: string }>> = {
  429: { message: 'The engine has too many requests.', type: 'TooManyRequestsError' },
  503: { message: 'The engine is overloaded.', type: 'ServiceUnavailableError' },
}

export async function startTalkingEngine(): Promise<TalkingEngine> {
  const requests: EngineRequest[] = []
  const refusedOnce = new Set<string>()
  const newServer = () =>
    createServer((req, res) => void answer(req, res, requests, refusedOnce).catch(() => res.destroy()))
  let server = newServer()
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(port, '127.0.0.1', resolve)
    })
  await listen(0)
  const { port } = server.address() as AddressInfo
  return {
    port,
    requests,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
    start: async () => {
      server = newServer()
      await listen(port)
    },
  }
}

async function answer(
  req: IncomingMessage,
  res: ServerResponse,
  requests: EngineRequest[],
  refusedOnce: Set<string>,
): Promise<void> {
  const body = Buffer.concat(await req.toArray()).toString('utf8')
  const path = req.url ?? ''
  requests.push({ method: req.method ?? '', path, headers: req.headers, body })
  const [question, status = '', times] = /answer (429|503) (always|once)[^"]*/.exec(body) ?? []
  const refusal = REFUSALS[status]
  if (question && refusal && !(times === 'once' && refusedOnce.has(question))) {
    refusedOnce.add(question)
    const error = { ...refusal, param: null, code: Number(status) }
    res.writeHead(Number(status), { 'content-type': 'application/json', 'retry-after': '1' })
    return void res.end(JSON.stringify({ error }))
  }
  const { model, stream } = JSON.parse(body)
  const isMessages = path.startsWith('/v1/messages')
  if (stream) {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const event of isMessages ? messageEvents(model) : chatEvents(model)) res.write(event)
    return void res.end()
  }
  const whole = path.startsWith('/v1/messages/count_tokens')
    ? { input_tokens: 5 }
    : isMessages
      ? message(model, [{ type: 'text', text: ANSWER }], 'end_turn')
      : completion(model)
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(whole))
}

const USAGE = { prompt_tokens: 5, completion_tokens: 4, total_tokens: 9 }
const CHAT = { id: 'chatcmpl-1', created: 1_800_000_000 }

const completion = (model: string) => ({
  ...CHAT,
  object: 'chat.completion',
  model,
  choices: [{ index: 0, message: { role: 'assistant', content: ANSWER }, finish_reason: 'stop' }],
  usage: USAGE,
})

function chatEvents(model: string): string[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    ...{ ...CHAT, object: 'chat.completion.chunk', model },
    choices: [{ index: 0, delta, finish_reason }],
  })
  const words = ANSWER.split(/(?= )/).map(content => chunk({ content }))
  const all = [chunk({ role: 'assistant', content: '' }), ...words, chunk({}, 'stop')]
  return [...all.map(each => `data: ${JSON.stringify(each)}\n\n`), 'data: [DONE]\n\n']
}

const message = (model: string, content: object[], stop_reason: string | null) => ({
  ...{ id: 'msg_1', type: 'message', role: 'assistant', model, content },
  ...{ stop_reason, stop_sequence: null, usage: { input_tokens: 5, output_tokens: 4 } },
})

function messageEvents(model: string): string[] {
  const events = [
    { type: 'message_start', message: message(model, [], null) },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: ANSWER } },
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: 4 },
    },
    { type: 'message_stop' },
  ]
  return events.map(event => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
}
