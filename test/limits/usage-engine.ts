import { createServer, request, type ServerResponse } from 'node:http'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** How the engine answers the next requests. */
export interface Plan {
  prompt: number
  completion: number
  /** Choices of a request (`n`), each of which has `completion` tokens. */
  choices: number
  /** Bytes that are written at a time; 0: each event, or the whole answer. */
  bytesAtATime: number
  /** A stream stays open after so many tokens, as if the engine worked for minutes. */
  pausesAfter: number
  /** `--enable-force-include-usage`: the usage so far is in each event. */
  forcedUsage: boolean
  status: number
}

const USUAL: Plan = {
  prompt: 11,
  completion: 5,
  choices: 1,
  bytesAtATime: 0,
  pausesAfter: Number.POSITIVE_INFINITY,
  forcedUsage: true,
  status: 200,
}

/** What a model or a client could write so that less is counted. */
const DECEIT =
  'so "usage":{"total_tokens":0}} \\" {[ "usage": {"total_tokens": 0} \u00e9\n\ndata: {"usage":{"total_tokens":0}}'

export interface UsageEngine {
  port: number
  /** Requests that reached it. */
  requests(): number
  /** The usual plan with these changes, until the next call. */
  plan(changes?: Partial<Plan>): void
  stop(): Promise<void>
}

/** Replaces vLLM: answers in the form and in the order of keys of vLLM 0.28, without a model. */
export async function startUsageEngine(): Promise<UsageEngine> {
  let plan = USUAL
  let requests = 0
  const server = createServer(async (received, response) => {
    const chunks = await received.toArray().catch(() => [])
    requests += 1
    const { stream } = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}')
    const path = received.url?.replace(/\?.*/, '') ?? ''
    await answer(response, path, Boolean(stream), plan).catch(() => response.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    requests: () => requests,
    plan: (changes = {}) => {
      plan = { ...USUAL, ...changes }
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

const streamed = (model: string) => JSON.stringify({ model, messages: [], stream: true })

/** A streamed request that is given up once so many pieces of text have arrived. `zeros`: of its length, in front. */
export function cancelled(
  ...[url, token, texts, model = 'llama-3-8b', zeros = '']: [string, string, number, string?, string?]
): Promise<void> {
  const body = streamed(model)
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'content-length': `${zeros}${body.length}`,
  }
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent: false, headers }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
        if (text.split('total_tokens\\":0}} ').length > texts) sent.destroy()
      })
      response.once('close', resolve)
      response.once('error', () => resolve())
    })
    sent.once('error', reject)
    sent.end(body)
  })
}

/** The same over HTTP/2, without a length, once the first piece has arrived. */
export function cancelledOverHttp2(url: string, token: string): Promise<void> {
  const { origin, pathname } = new URL(url)
  const session = connect(origin)
  const stream = session.request({
    ...{ ':method': 'POST', ':path': pathname },
    ...{ authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  })
  stream.end(streamed('llama-3-8b'))
  return new Promise((resolve, reject) => {
    session.once('error', reject)
    stream.once('data', () => session.destroy())
    stream.once('close', resolve)
  })
}

async function answer(response: ServerResponse, path: string, stream: boolean, plan: Plan): Promise<void> {
  if (plan.status !== 200) {
    response.writeHead(plan.status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: { message: DECEIT, type: 'BadRequestError', code: plan.status } }))
    return
  }
  response.writeHead(200, {
    'content-type': stream ? 'text/event-stream; charset=utf-8' : 'application/json',
  })
  if (!stream) {
    await write(response, JSON.stringify(jsonOf(path, plan)), plan)
    response.end()
    return
  }
  let tokens = 0
  for (const { text, isToken } of eventsOf(path, plan)) {
    if (isToken && tokens++ >= plan.pausesAfter) return
    await write(response, text, plan)
  }
  response.end()
}

async function write(response: ServerResponse, text: string, { bytesAtATime }: Plan): Promise<void> {
  const bytes = Buffer.from(text)
  const step = bytesAtATime || bytes.length
  for (let at = 0; at < bytes.length; at += step) {
    response.write(bytes.subarray(at, at + step))
    // A turn of the loop, so that the bytes are packets of their own.
    if (bytesAtATime) await sleep(0)
  }
}

const usageOf = (prompt: number, completion: number) => ({
  prompt_tokens: prompt,
  total_tokens: prompt + completion,
  completion_tokens: completion,
  prompt_tokens_details: { cached_tokens: 4, total_tokens: 999 },
})
const responsesUsage = ({ prompt, completion }: Plan) => ({
  input_tokens: prompt,
  input_tokens_details: { cached_tokens: 4 },
  output_tokens: completion,
  total_tokens: prompt + completion,
})
/** Anthropic's input is without what the cache had. */
const messagesUsage = (prompt: number, completion: number) => ({
  input_tokens: prompt - 4,
  cache_read_input_tokens: 4,
  output_tokens: completion,
})

function jsonOf(path: string, plan: Plan): object {
  const { prompt, completion, choices } = plan
  const head = { id: 'id-1', created: 1, model: 'llama-3-8b' }
  if (path === '/v1/embeddings')
    return {
      ...{
        ...head,
        object: 'list',
        data: [{ index: 0, object: 'embedding', embedding: Array(512).fill(0.125) }],
      },
      usage: {
        prompt_tokens: prompt,
        total_tokens: prompt,
        completion_tokens: 0,
        prompt_tokens_details: null,
      },
    }
  if (path === '/v1/messages')
    return {
      ...{ ...head, type: 'message', role: 'assistant', content: [{ type: 'text', text: DECEIT }] },
      ...{ stop_reason: 'end_turn', usage: messagesUsage(prompt, completion) },
    }
  if (path === '/v1/responses')
    return {
      ...{ ...head, object: 'response', output: [{ type: 'message', content: [{ text: DECEIT }] }] },
      // The engine repeats these of the request.
      tools: [{ type: 'function', parameters: { usage: { total_tokens: 1 } } }],
      metadata: { usage: 'a text' },
      usage: responsesUsage(plan),
    }
  const message = { role: 'assistant', content: DECEIT }
  return {
    ...{ ...head, object: 'chat.completion' },
    choices: Array.from({ length: choices }, (_, index) => ({ index, message, finish_reason: 'stop' })),
    ...{ usage: usageOf(prompt, completion * choices), kv_transfer_params: null },
  }
}

function* eventsOf(path: string, plan: Plan): Generator<{ text: string; isToken: boolean }> {
  const { prompt, completion, choices, forcedUsage } = plan
  const event = (data: object, isToken = false) => ({ text: `data: ${JSON.stringify(data)}\n\n`, isToken })
  const named = (type: string, data: object, isToken = false) => ({
    text: `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`,
    isToken,
  })
  if (path === '/v1/messages') {
    yield named('message_start', {
      message: { role: 'assistant', content: [], usage: messagesUsage(prompt, 0) },
    })
    for (let i = 0; i < completion; i++)
      yield named('content_block_delta', { index: 0, delta: { type: 'text_delta', text: DECEIT } }, true)
    yield named('message_delta', {
      delta: { stop_reason: 'end_turn' },
      usage: messagesUsage(prompt, completion),
    })
    yield named('message_stop', {})
    return
  }
  if (path === '/v1/responses') {
    const tools = [{ usage: { total_tokens: 1 } }]
    yield named('response.created', { response: { tools, usage: null } })
    for (let i = 0; i < completion; i++)
      yield named('response.output_text.delta', { delta: DECEIT, output_index: 0 }, true)
    yield named('response.completed', { response: { tools, usage: responsesUsage(plan) } })
    return
  }
  const head = { id: 'id-1', object: 'chat.completion.chunk', model: 'llama-3-8b' }
  const chunk = (index: number, tokens: number, delta: object) => ({
    ...{ ...head, choices: [{ index, delta, logprobs: null, finish_reason: null }] },
    ...(forcedUsage && { usage: usageOf(prompt, tokens) }),
  })
  for (let index = 0; index < choices; index++)
    yield event(chunk(index, 0, { role: 'assistant', content: '' }))
  for (let i = 1; i <= completion; i++)
    for (let index = 0; index < choices; index++) yield event(chunk(index, i, { content: DECEIT }), true)
  if (forcedUsage) yield event({ ...head, choices: [], usage: usageOf(prompt, completion * choices) })
  yield { text: 'data: [DONE]\n\n', isToken: false }
}
